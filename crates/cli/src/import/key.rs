//! Sample keys: escaped relative paths without extension.
//!
//! Invariants: a key holds no dot (WebDataset ends a key at the first dot); two different stems never give
//! the same key.

use std::path::Path;

/// The key of a file at `relative` (separated by `/`): its path without extension, escaped.
///
/// ```
/// assert_eq!(counterstain_cli::import::key::sample_key("train/0/a b.v2.png"), "train/0/a b%2Ev2");
/// ```
pub fn sample_key(relative: &str) -> String {
    counterstain_artifact::shard::escape_key(stem(relative))
}

/// `relative` without the extension of its last component.
pub fn stem(relative: &str) -> &str {
    let name_start = relative.rfind('/').map_or(0, |slash| slash + 1);
    match relative[name_start..].rfind('.') {
        // A leading dot starts a hidden name, not an extension.
        Some(dot) if dot > 0 => &relative[..name_start + dot],
        _ => relative,
    }
}

/// The key of the cut at row `row` and column `column` of the image with key `key`.
pub fn cut_key(key: &str, row: usize, column: usize) -> String {
    format!("{key}_r{row:03}_c{column:03}")
}

/// `path` below `root` with `/` between components; names that are not UTF-8 keep their bytes as `%XX`.
pub fn relative_name(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<String> = below.iter().map(component_name).collect();
    parts.join("/")
}

fn component_name(component: &std::ffi::OsStr) -> String {
    use std::os::unix::ffi::OsStrExt;
    match component.to_str() {
        Some(text) => text.to_owned(),
        None => component.as_bytes().iter().fold(String::new(), |mut name, &byte| {
            if byte.is_ascii_graphic() && byte != b'%' {
                name.push(char::from(byte));
            } else {
                name.push_str(&format!("%{byte:02X}"));
            }
            name
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_extension_is_dropped_and_dots_are_escaped() {
        assert_eq!(sample_key("a.b/c.d.jpg"), "a%2Eb/c%2Ed");
        assert_eq!(sample_key("plain"), "plain");
        assert_eq!(sample_key("x/.hidden"), "x/%2Ehidden");
    }

    #[test]
    fn an_escape_in_a_name_cannot_collide_with_the_escape_of_another_name() {
        assert_ne!(sample_key("a%2Eb.png"), sample_key("a.b.png"));
    }

    proptest::proptest! {
        #[test]
        fn different_stems_have_different_keys(first in "[a-c%./ 2E]{1,6}", second in "[a-c%./ 2E]{1,6}") {
            proptest::prop_assert_eq!(stem(&first) == stem(&second), sample_key(&first) == sample_key(&second));
        }

        #[test]
        fn a_key_never_holds_a_dot(name in "\\PC{1,20}") {
            proptest::prop_assert!(!sample_key(&name).contains('.'));
        }
    }
}

//! Sample keys and member names.
//!
//! WebDataset takes what stands before the first dot of a file name as the key, so keys hold none: a key is
//! a relative path without extension in which `.`, `%`, `\` and control characters are written `%XX`.

use std::path::{Component, Path};

use crate::Error;

/// Bytes of a key.
const LONGEST_KEY: usize = 1_024;
/// Bytes of a layer's name.
const LONGEST_LAYER: usize = 63;
/// Bytes of an extension.
const LONGEST_EXTENSION: usize = 8;

/// The key of a relative path whose extension is already gone.
pub fn escape_key(path: &str) -> String {
    let mut key = String::with_capacity(path.len());
    for character in path.chars() {
        if matches!(character, '.' | '%' | '\\') || character.is_control() {
            let mut utf8 = [0; 4];
            for byte in character.encode_utf8(&mut utf8).bytes() {
                key.push_str(&format!("%{byte:02X}"));
            }
        } else {
            key.push(character);
        }
    }
    key
}

/// The path that [`escape_key`] made a key of. What is no escape stays as it is.
pub fn unescape_key(key: &str) -> String {
    let bytes = key.as_bytes();
    let mut path = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let mut byte = [0];
        match escaped.map(|digits| hex::decode_to_slice(digits, &mut byte)) {
            Some(Ok(())) => {
                path.push(byte[0]);
                at += 3;
            }
            _ => {
                path.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&path).into_owned()
}

/// The key of a file: its relative path without extension, escaped.
///
/// # Errors
/// `Invalid` for absolute paths, paths with `..`, names that are not UTF-8, and keys that are too long.
pub fn key_of_path(path: &Path) -> Result<String, Error> {
    let fail = |reason: &str| Error::invalid(format!("path {}", path.display()), reason);
    let mut parts = Vec::new();
    for component in path.with_extension("").components() {
        match component {
            Component::Normal(part) => {
                let part = part.to_str().ok_or_else(|| fail("is not UTF-8; rename the file"))?;
                parts.push(escape_key(part));
            }
            Component::CurDir => {}
            _ => return Err(fail("must be relative and without '..'")),
        }
    }
    let key = parts.join("/");
    check_key(&key)?;
    Ok(key)
}

/// Whether `key` can be a sample's key.
///
/// # Errors
/// `Invalid` with the reason.
pub fn check_key(key: &str) -> Result<(), Error> {
    let fail = |reason: &str| Err(Error::invalid(format!("sample key {:?}", shortened(key)), reason));
    if key.is_empty() {
        return fail("is empty");
    }
    if key.len() > LONGEST_KEY {
        return fail("is longer than 1024 bytes");
    }
    if key.contains(['.', '\\']) || key.contains(char::is_control) {
        return fail("holds a dot, a backslash or a control character; escape it with escape_key");
    }
    if key.split('/').any(str::is_empty) {
        return fail("starts or ends with a slash, or has two in a row");
    }
    Ok(())
}

/// Whether `name` can name a layer: 1 to 63 of `a-z 0-9 _ -`, starting with a letter or digit, and not `json`.
///
/// # Errors
/// `Invalid` with the reason.
pub fn check_layer_name(name: &str) -> Result<(), Error> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    let starts_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !starts_well || name.len() > LONGEST_LAYER || name == "json" || !name.bytes().all(is_plain) {
        return Err(Error::invalid(
            format!("layer name {:?}", shortened(name)),
            "must be 1 to 63 of a-z, 0-9, '_' and '-', start with a letter or digit, and not be 'json'",
        ));
    }
    Ok(())
}

pub(super) fn check_extension(extension: &str) -> Result<(), Error> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if extension.is_empty() || extension.len() > LONGEST_EXTENSION || !extension.bytes().all(is_plain) {
        return Err(Error::invalid(
            format!("extension {:?}", shortened(extension)),
            "must be 1 to 8 of a-z and 0-9",
        ));
    }
    Ok(())
}

/// `KEY.LAYER.EXTENSION`.
pub(super) fn member_name(key: &str, layer: &str, extension: &str) -> String {
    format!("{key}.{layer}.{extension}")
}

/// For messages.
fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_relative_paths_without_dots() {
        assert_eq!(key_of_path(Path::new("train/a.b/tile.1.png")).unwrap(), "train/a%2Eb/tile%2E1");
        assert_eq!(key_of_path(Path::new("./x y/ä.tif")).unwrap(), "x y/ä");
        assert!(key_of_path(Path::new("/abs.png")).is_err());
        assert!(key_of_path(Path::new("../up.png")).is_err());
        assert!(key_of_path(Path::new("")).is_err());
    }

    #[test]
    fn layer_names_cannot_be_mistaken_for_other_members() {
        for name in ["he", "nuclei", "ihc-ki67", "0"] {
            check_layer_name(name).unwrap();
        }
        for name in ["", "json", "a.b", "HE", "-x", "a/b", &"x".repeat(64)] {
            assert!(check_layer_name(name).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_path_survives_escaping(parts in prop::collection::vec("[^/]{1,20}", 1..4)) {
            let path = parts.join("/");
            let key = escape_key(&path);
            check_key(&key).unwrap();
            prop_assert_eq!(unescape_key(&key), path);
        }

        #[test]
        fn unescaping_never_panics(text in ".{0,40}") {
            let _ = unescape_key(&text);
        }
    }
}

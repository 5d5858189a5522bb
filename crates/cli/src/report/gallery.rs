//! Pictures of the gallery, small and inside the page.

use counterstain_tile::Tile;
use counterstain_tile::encode::encode_png;
use maud::{Markup, html};

use super::Gallery;

/// A row: one sample in all columns.
#[derive(Clone, Debug, Default)]
pub struct GalleryRow {
    /// What the sample is: its label.
    pub caption: String,
    /// A picture per column; none where the sample has none.
    pub pictures: Vec<Option<Picture>>,
}

/// A picture as it stands in the page.
#[derive(Clone, Debug)]
pub struct Picture {
    uri: String,
    alt: String,
}

impl Picture {
    /// A picture of a tile; `alt` says what it shows.
    ///
    /// # Errors
    /// When the tile has a number of channels that PNG lacks.
    pub fn new(tile: &Tile<u8>, alt: impl Into<String>) -> Result<Self, counterstain_tile::Error> {
        let bytes = encode_png(tile)?;
        Ok(Self { uri: format!("data:image/png;base64,{}", base64(&bytes)), alt: alt.into() })
    }
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_u32, |group, &byte| group << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (group >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}

/// A gallery as a grid: columns side by side, one sample per row, several rows beside each other.
pub fn gallery(gallery: &Gallery) -> Markup {
    html! {
        section class="gallery" {
            h3 { (gallery.title) }
            p { (gallery.caption) }
            @if !gallery.colours.is_empty() {
                ul class="legend" style="margin:0 0 .8rem" {
                    @for (name, [red, green, blue]) in &gallery.colours {
                        li { span class="swatch" style=(format!("background:rgb({red},{green},{blue})")) {} (name) }
                    }
                }
            }
            div class="strips" {
                @for row in &gallery.rows {
                    figure class="strip" {
                        div class="pictures" {
                            @for (column, picture) in gallery.columns.iter().zip(&row.pictures) {
                                div class="picture" {
                                    @match picture {
                                        Some(picture) => img src=(picture.uri) alt=(picture.alt) loading="lazy";
                                        None => div class="missing" { "none" }
                                    }
                                    span { (column) }
                                }
                            }
                        }
                        figcaption { (row.caption) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_published_test_vectors() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}

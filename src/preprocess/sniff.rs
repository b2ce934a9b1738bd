//! Recognition of files that are not read, for the message that refuses them.

/// Place of a signature, bytes; the signature; what such a file is.
const SIGNATURES: [(usize, &[u8], &str); 19] = [
    (0, b"II*\0", "a TIFF picture or a camera's raw file"),
    (0, b"MM\0*", "a TIFF picture or a camera's raw file"),
    (0, b"\0\0\x01\0", "an icon (ICO)"),
    (0, b"\0\0\x02\0", "a cursor (CUR)"),
    (0, b"\xFF\x0A", "a JPEG XL picture"),
    (4, b"JXL \r\n\x87\n", "a JPEG XL picture"),
    (4, b"jP  \r\n\x87\n", "a JPEG 2000 picture"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"qoif", "a QOI picture"),
    (0, b"\x76\x2F\x31\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"gimp xcf", "a GIMP document"),
    (0, b"\x1F\x8B", "a file compressed with gzip"),
    (0, b"PK\x03\x04", "a zip file"),
    (0, b"GGUF", "a GGUF model"),
    (0, b"\x1A\x45\xDF\xA3", "a Matroska or WebM video"),
    (0, b"OggS", "an Ogg file"),
];
/// Brands of ISO base media files (`ftyp`) → what such a file is.
const BRANDS: [(&[&[u8; 4]], &str); 3] = [
    (&[b"avif", b"avis"], "an AVIF picture"),
    (&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"], "a HEIC picture"),
    (&[b"isom", b"iso2", b"mp41", b"mp42", b"qt  ", b"M4V "], "a video"),
];
/// Length of the start of a text that is searched for its root element, bytes.
const TEXT_HEAD: usize = 4096;

/// Returns what the file is, with its article, if its first bytes tell.
pub(super) fn sniff(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return Some("an empty file");
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        // The major brand, then (after a version) those that it is compatible with.
        let end = bytes.len().min(u32::from_be_bytes(bytes[..4].try_into().ok()?) as usize).min(64);
        let brands = || [8].into_iter().chain((16..end).step_by(4)).filter_map(|at| bytes.get(at..at + 4));
        // AVIF and HEIC share a brand for "some picture", so the more specific one decides.
        let of = |(known, what): &(&[&[u8; 4]], &'static str)| {
            brands().any(|brand| known.iter().any(|known| brand == *known)).then_some(*what)
        };
        return BRANDS.iter().find_map(of);
    }
    let signature =
        SIGNATURES.iter().find(|(at, magic, _)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    if let Some((_, _, what)) = signature {
        return Some(what);
    }
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_HEAD)]).to_ascii_lowercase();
    let head = head.trim_start_matches(['\u{FEFF}', ' ', '\n', '\r', '\t']);
    if !head.starts_with('<') {
        return None;
    }
    if head.contains("<svg") && !head.contains("<html") {
        Some("an SVG drawing")
    } else if head.contains("<html") || head.contains("<!doctype html") {
        Some("a web page")
    } else {
        Some("an XML or HTML text")
    }
}

#[cfg(test)]
#[test]
fn files_are_called_what_they_are() {
    for (bytes, what) in [
        (&b"\0\0\0\x20ftypavif\0\0\0\0mif1avifmiaf"[..], "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1Cftypmif1\0\0\0\0avifmif1miaf", "AVIF"),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp42", "video"),
        (b"<?xml version=\"1.0\"?>\n<!-- x --><svg xmlns=\"\">", "SVG"),
        (b"\xEF\xBB\xBF<svg viewBox=\"0 0 1 1\"/>", "SVG"),
        (b"<!DOCTYPE html><html><svg></svg>", "web page"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"\0\0\0\x0CJXL \r\n\x87\n", "JPEG XL"),
        (b"", "empty"),
    ] {
        assert!(sniff(bytes).is_some_and(|found| found.contains(what)), "{what}: {:?}", sniff(bytes));
    }
    assert_eq!(sniff(b"\x01\x02 neither"), None);
    assert_eq!(sniff(b"\xFF\xFF\xFF\xFFftyp"), None, "a length that lies");
}

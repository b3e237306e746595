//! The frame of TensorFlow's record files: length, checksum of the length,
//! content, checksum of the content.
//!
//! `tensorflow/core/lib/io/record_writer.h`: all numbers little-endian; a
//! checksum is CRC-32C, rotated and shifted, since a checksum of content that
//! holds checksums itself is weak.

/// Adds one record.
pub fn frame(out: &mut Vec<u8>, content: &[u8]) {
    let length = (content.len() as u64).to_le_bytes();
    out.extend(length);
    out.extend(masked(&length).to_le_bytes());
    out.extend(content);
    out.extend(masked(content).to_le_bytes());
}

fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `scripts/golden_events.py`.
    #[test]
    fn frames_are_those_of_tensorflow() {
        let hex = |content: &[u8]| {
            let mut bytes = Vec::new();
            frame(&mut bytes, content);
            bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()
        };
        assert_eq!(hex(b"abc"), ABC);
        assert_eq!(hex(b""), EMPTY);
    }

    const ABC: &str = "0300000000000000b099490e6162636e57f121";
    const EMPTY: &str = "000000000000000029039807d8ea82a2";
}

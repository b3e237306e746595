//! The few messages of an event file in protocol buffers.
//!
//! Field numbers are those of `event.proto`, `summary.proto` and
//! `tensor.proto` of TensorFlow.

/// Fields of `Event`.
pub const WALL_TIME: u64 = 1;
pub const STEP: u64 = 2;
pub const FILE_VERSION: u64 = 3;
const SUMMARY: u64 = 5;
const SESSION_LOG: u64 = 7;

/// `DataType.DT_STRING`.
const STRINGS: u64 = 7;
/// `DataClass.DATA_CLASS_TENSOR`.
const TENSORS: u64 = 2;

/// `SessionLog.status`.
#[derive(Clone, Copy)]
pub enum Status {
    Start = 1,
}

/// A message under way.
#[derive(Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    pub fn double(&mut self, field: u64, value: f64) {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    pub fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    pub fn text(&mut self, field: u64, value: &str) {
        self.delimited(field, value.as_bytes());
    }

    pub fn message(&mut self, field: u64, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.delimited(field, &inner.0);
    }

    fn delimited(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    /// Seven bits a byte, the lowest first; the eighth says that more come.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

pub fn session(event: &mut Message, status: Status) {
    event.message(SESSION_LOG, |log| log.number(1, status as u64));
}

/// `Summary` of values by tag.
pub fn scalars(event: &mut Message, values: &[(String, f64)]) {
    event.message(SUMMARY, |summary| {
        for (tag, value) in values {
            summary.message(1, |entry| {
                entry.text(1, tag);
                entry.float(2, *value as f32);
            });
        }
    });
}

/// `Summary` of one text, as the text plugin takes it.
pub fn markdown(event: &mut Message, tag: &str, text: &str) {
    event.message(SUMMARY, |summary| {
        summary.message(1, |entry| {
            entry.text(1, tag);
            entry.message(8, |tensor| {
                tensor.number(1, STRINGS);
                tensor.message(2, |_| ());
                tensor.text(8, text);
            });
            entry.message(9, |metadata| {
                metadata.message(1, |plugin| plugin.text(1, "text"));
                metadata.number(4, TENSORS);
            });
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the encoding's documentation.
    #[test]
    fn the_encoding_is_that_of_protocol_buffers() {
        let mut message = Message::default();
        message.number(1, 150);
        message.text(2, "testing");
        message.message(3, |inner| inner.number(1, 150));
        let expected = b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01";
        assert_eq!(message.bytes(), expected);
    }

    #[test]
    fn numbers_of_fixed_length_are_little_endian() {
        let mut message = Message::default();
        message.double(1, 1.0);
        message.float(2, -2.0);
        let expected = b"\x09\0\0\0\0\0\0\xf0\x3f\x15\0\0\0\xc0";
        assert_eq!(message.bytes(), expected);
    }
}

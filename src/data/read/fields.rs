//! Splitting a line into fields.

/// How the fields of a line are set apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Splitter {
    /// Any run of blanks.
    Whitespace,
    /// Text of any length.
    Delimiter(String),
    Quoted(Quoted),
}

/// One character, and double quotes around fields that hold it (RFC 4180).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    pub delimiter: char,
    /// Escapes a quote, or itself, inside quotes.
    pub escape: Option<char>,
}

impl Splitter {
    /// Byte ranges of the fields of a line, taking quotes as they are.
    pub fn split_plain(&self, line: &str, fields: &mut Vec<(usize, usize)>) {
        match self {
            Self::Whitespace => split_whitespace(line, fields),
            Self::Delimiter(d) => split_at(line, d, fields),
            Self::Quoted(q) => split_at(line, q.delimiter.encode_utf8(&mut [0; 4]), fields),
        }
    }
}

fn split_at(line: &str, delimiter: &str, fields: &mut Vec<(usize, usize)>) {
    let mut start = 0;
    if let &[byte] = delimiter.as_bytes() {
        for (i, &b) in line.as_bytes().iter().enumerate() {
            if b == byte {
                fields.push((start, i));
                start = i + 1;
            }
        }
    } else {
        for (i, _) in line.match_indices(delimiter) {
            fields.push((start, i));
            start = i + delimiter.len();
        }
    }
    fields.push((start, line.len()));
}

fn split_whitespace(line: &str, fields: &mut Vec<(usize, usize)>) {
    let mut start = None;
    for (i, b) in line.bytes().enumerate() {
        match (b.is_ascii_whitespace(), start) {
            (false, None) => start = Some(i),
            (true, Some(s)) => {
                fields.push((s, i));
                start = None;
            }
            _ => {}
        }
    }
    if let Some(s) = start {
        fields.push((s, line.len()));
    }
}

impl Quoted {
    /// Splits a line, writing the fields without their quotes to `out`;
    /// `false` when a quote is open at its end.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn split(
        &self,
        line: &str,
        out: &mut String,
        fields: &mut Vec<(usize, usize)>,
    ) -> Result<bool, String> {
        out.clear();
        fields.clear();
        let mut chars = line.chars().peekable();
        loop {
            let start = out.len();
            if chars.peek() == Some(&'"') {
                chars.next();
                if !self.quoted_field(&mut chars, out) {
                    return Ok(false);
                }
                if chars.peek().is_some_and(|c| *c != self.delimiter) {
                    return Err(format!(
                        "text after the closing quote of field {} (set escape = \"\\\\\" where a \
                         backslash escapes quotes, or quote = false)",
                        fields.len() + 1
                    ));
                }
            } else {
                while let Some(c) = chars.next_if(|c| *c != self.delimiter) {
                    out.push(c);
                }
            }
            fields.push((start, out.len()));
            if chars.next().is_none() {
                return Ok(true);
            }
        }
    }

    /// Takes what follows an opening quote, and the closing one; `false`
    /// when there is none.
    fn quoted_field(
        &self,
        chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
        out: &mut String,
    ) -> bool {
        while let Some(c) = chars.next() {
            let next = chars.peek().copied();
            if Some(c) == self.escape && (next == Some('"') || next == self.escape) {
                out.extend(chars.next());
            } else if c != '"' {
                out.push(c);
            } else if next == Some('"') {
                out.extend(chars.next());
            } else {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(splitter: &Splitter, line: &str) -> Vec<String> {
        let mut fields = Vec::new();
        splitter.split_plain(line, &mut fields);
        fields
            .iter()
            .map(|&(a, b)| line[a..b].to_string())
            .collect()
    }

    fn quoted(line: &str, escape: Option<char>) -> Result<Vec<String>, String> {
        let (mut out, mut fields) = (String::new(), Vec::new());
        let whole = Quoted {
            delimiter: ';',
            escape,
        }
        .split(line, &mut out, &mut fields)?;
        if !whole {
            return Err("open".into());
        }
        Ok(fields.iter().map(|&(a, b)| out[a..b].to_string()).collect())
    }

    #[test]
    fn delimiters_of_any_length() {
        let double = Splitter::Delimiter("::".into());
        assert_eq!(plain(&double, "1::Alien: 3::"), ["1", "Alien: 3", ""]);
        assert_eq!(
            plain(&Splitter::Delimiter("\t".into()), "a\t\tb"),
            ["a", "", "b"]
        );
        assert_eq!(plain(&Splitter::Whitespace, " 1 2\t 3 "), ["1", "2", "3"]);
    }

    #[test]
    fn quotes_hold_delimiters_and_doubled_quotes() {
        assert_eq!(
            quoted("\"a;b\";\"say \"\"x\"\"\";c\"d", None).unwrap(),
            ["a;b", "say \"x\"", "c\"d"]
        );
        assert_eq!(quoted("\"\";", None).unwrap(), ["", ""]);
        assert_eq!(quoted("\"a", None).unwrap_err(), "open");
        assert!(quoted("\"a\"b;c", None).unwrap_err().contains("field 1"));
    }

    #[test]
    fn a_backslash_escapes_only_when_asked_to() {
        assert_eq!(
            quoted("\"\\\"O\\\" is\";2", Some('\\')).unwrap(),
            ["\"O\" is", "2"]
        );
        assert_eq!(quoted("\"C:\\\";2", None).unwrap(), ["C:\\", "2"]);
    }

    proptest! {
        #[test]
        fn quoting_round_trips(values in proptest::collection::vec("[a-c;\"\\\\ é]{0,6}", 1..6)) {
            let line: Vec<String> = values
                .iter()
                .map(|v| format!("\"{}\"", v.replace('"', "\"\"")))
                .collect();
            prop_assert_eq!(quoted(&line.join(";"), None).unwrap(), values);
        }
    }
}

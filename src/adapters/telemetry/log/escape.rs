//! Keeps what a line quotes inside its quotes.
//!
//! Names and paths in a log come from clients. Whatever could end a string, or
//! the line, or steer a terminal, is written in JSON's escapes.

use std::fmt::{self, Write};

/// Writes as much of a text as a field takes, and its quotes.
pub(super) fn quote(line: &mut String, text: &str) {
    line.push('"');
    escape_cut(line, text);
    line.push('"');
}

/// Writes a text without quotes.
fn escape(line: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(may_need_escape) {
        let (plain, from) = rest.split_at(at);
        line.push_str(plain);
        let mut characters = from.chars();
        if let Some(character) = characters.next() {
            escape_character(line, character);
        }
        rest = characters.as_str();
    }
    line.push_str(rest);
}

/// The longest value of a field, in bytes. Some values are the client's, and as
/// long as it likes; the rest of one that is longer is left out.
pub(super) const LONGEST: usize = 4 << 10;

/// Stands for what is left out.
const ELLIPSIS: &str = "…";

/// As much of a text as a field takes, and whether that is not all of it.
pub(super) fn cut(text: &str, longest: usize) -> (&str, bool) {
    match text.len() > longest {
        true => (
            text.get(..text.floor_char_boundary(longest))
                .unwrap_or_default(),
            true,
        ),
        false => (text, false),
    }
}

/// Writes as much of a text as a field takes, without quotes.
pub(super) fn escape_cut(line: &mut String, text: &str) {
    let (text, is_cut) = cut(text, LONGEST);
    escape(line, text);
    if is_cut {
        line.push_str(ELLIPSIS);
    }
}

/// Writes what is displayed into a line, escaped, without a copy in between.
pub(super) struct Escaping<'a> {
    line: &'a mut String,
    /// How many bytes are still taken.
    left: usize,
}

impl<'a> Escaping<'a> {
    pub(super) const fn new(line: &'a mut String) -> Self {
        Self {
            line,
            left: LONGEST,
        }
    }
}

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let (text, is_cut) = cut(text, self.left);
        escape(self.line, text);
        self.left -= text.len();
        if is_cut {
            self.line.push_str(ELLIPSIS);
            // No more is wanted, so no more need be made.
            return Err(fmt::Error);
        }
        Ok(())
    }
}

const fn may_need_escape(byte: u8) -> bool {
    byte < b' ' || byte >= 0x7f || matches!(byte, b'"' | b'\\')
}

fn escape_character(line: &mut String, character: char) {
    match character {
        '"' => line.push_str("\\\""),
        '\\' => line.push_str("\\\\"),
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\t' => line.push_str("\\t"),
        // Some readers take the latter two for the end of a line.
        other if other.is_control() || matches!(other, '\u{2028}' | '\u{2029}') => {
            line.push_str("\\u");
            for shift in [12, 8, 4, 0] {
                line.extend(char::from_digit((u32::from(other) >> shift) & 0xf, 16));
            }
        }
        plain => line.push(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let long = "é".repeat(LONGEST);
        let mut quoted = String::new();
        quote(&mut quoted, &long);
        let mut displayed = String::new();
        let mut escaping = Escaping::new(&mut displayed);
        assert!(write!(escaping, "é{}", &long[2..]).is_err());
        for line in [quoted.trim_matches('"'), &displayed] {
            assert_eq!(line, format!("{}…", "é".repeat(LONGEST / 2)));
        }
    }

    #[test]
    fn nothing_leaves_the_quotes_and_everything_can_be_read_back() {
        for text in [
            "plain",
            "",
            "\"},{\"level\":\"ERROR",
            "a\nb\r\nc\td\\",
            "\u{1b}[2J\u{7f}\u{9b}\u{0}",
            "ünï\u{2028}\u{2029}\u{1f419}",
        ] {
            let mut line = String::new();
            quote(&mut line, text);
            let escaped = &line[1..line.len() - 1];
            assert!(!escaped.chars().any(char::is_control), "{line}");
            assert!(
                !escaped
                    .replace("\\\\", "")
                    .replace("\\\"", "")
                    .contains('"'),
                "{line}"
            );
            let read: String = serde_json::from_str(&line).unwrap();
            assert_eq!(read, text);
        }
    }
}

//! Columns of text, aligned.

/// Characters of a line of prose.
pub const WIDTH: usize = 98;

/// Which side the values of a column stand on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Lines of equal columns under their heads, two spaces between them.
pub fn render(heads: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|r| r.get(i)).map(String::as_str);
        cells.chain([heads[i].0]).map(|c| c.chars().count()).max()
    };
    let widths: Vec<usize> = (0..heads.len()).map(|i| width(i).unwrap_or(0)).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).zip(heads).map(|((cell, width), head)| {
            let space = " ".repeat(width - cell.chars().count());
            match head.1 {
                Align::Left => format!("{cell}{space}"),
                Align::Right => format!("{space}{cell}"),
            }
        });
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = line(&mut heads.iter().map(|h| h.0));
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

/// Text in lines of at most `width` characters where its words allow it, each
/// with `indent` before it.
pub fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let len = indent.len() + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && len > width {
            lines += &format!("{indent}{line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    format!("{lines}{indent}{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrap("a bb ccc d", 6, "  "), "  a bb\n  ccc\n  d\n");
        assert_eq!(wrap("toolong", 3, ""), "toolong\n");
    }

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["é".to_string(), "1".into()],
            vec!["b".into(), "10".into()],
        ];
        assert_eq!(
            render(&[("name", Align::Left), ("n", Align::Right)], &rows),
            "name   n\né      1\nb     10\n"
        );
    }
}

//! Pages that need nothing else: one file, no network. One look for the report,
//! for comparisons and for searches.
//!
//! They are well-formed XML, too, so that tests and tools can read them.

const STYLE: &str = include_str!("style.css");

/// A page under way; all but the title is HTML.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'a> {
    /// Text: the name of the page and its heading.
    pub title: &'a str,
    /// Under the heading.
    pub lead: &'a str,
    pub nav: &'a str,
    pub main: &'a str,
    /// After all that is seen, e.g. a script.
    pub end: &'a str,
}

impl Page<'_> {
    /// The whole file.
    pub fn html(&self) -> String {
        let title = escaped(self.title);
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <header>\n<h1>{title}</h1>\n{}</header>\n{}<main>\n{}\
             <footer>Written by recsys {}. This file loads nothing.</footer>\n</main>\n{}\
             </body>\n</html>\n",
            self.lead,
            self.nav,
            self.main,
            env!("CARGO_PKG_VERSION"),
            self.end,
        )
    }
}

/// Text as HTML, between tags and in attributes; characters that XML does not
/// allow are left out.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\r' | '\t' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// A table that scrolls by itself where the screen is narrow. The first row is
/// the head; `class` is that of the table, `colors` those of the last cells of
/// the other rows.
pub fn table<'a>(
    rows: impl IntoIterator<Item = &'a Vec<String>>,
    class: &str,
    colors: &[&str],
) -> String {
    let mut rows = rows.into_iter();
    let head = rows.next().into_iter().flatten();
    let head: String = head
        .map(|h| format!("<th scope=\"col\">{}</th>", escaped(h)))
        .collect();
    let mut text = format!(
        "<div class=\"scroll\"><table class=\"{class}\"><thead><tr>{head}</tr></thead>\n<tbody>\n"
    );
    for (number, row) in rows.enumerate() {
        text += "<tr>";
        for (column, cell) in row.iter().enumerate() {
            let color = colors.get(number).filter(|_| column + 1 == row.len());
            let class = color.map_or_else(String::new, |c| format!(" class=\"{c}\""));
            text += &format!("<td{class}>{}</td>", escaped(cell));
        }
        text += "</tr>\n";
    }
    text + "</tbody></table></div>\n"
}

/// A remark.
pub fn muted(text: &str) -> String {
    format!("<p class=\"muted\">{}</p>\n", escaped(text))
}

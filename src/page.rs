//! Pages that need nothing else: one file, no network, no script.

/// Colors by role, so that a page fits a light and a dark screen.
const STYLE: &str = "
:root { color-scheme: light dark; --text: #1c1c1e; --muted: #6b6b70; --line: #d8d8dc;
  --better: #1a7f37; --worse: #c0362c; --none: #6b6b70; --mark: #2f6fde; --page: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --text: #ececf0; --muted: #a0a0a8; --line: #3a3a40;
  --better: #4ac26b; --worse: #ff7b72; --none: #a0a0a8; --mark: #6ea8ff; --page: #161618; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { color: var(--muted); font-weight: 600; }
.better { color: var(--better); } .worse { color: var(--worse); } .none { color: var(--none); }
p.method { color: var(--muted); font-size: .85rem; }
svg { max-width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--text); }
.panels { display: flex; flex-wrap: wrap; gap: 1rem; } .panels svg { flex: 1 1 20rem; }
";

/// A whole page; `body` is HTML, `title` is text.
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        escaped(title)
    )
}

/// Text as HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The first row is the head; `classes` color the last cells of the others.
pub fn table(rows: &[Vec<String>], classes: &[&str]) -> String {
    let mut text = String::from("<div class=\"scroll\"><table>\n");
    for (number, row) in rows.iter().enumerate() {
        text += "<tr>";
        let tag = if number == 0 { "th" } else { "td" };
        let color = number.checked_sub(1).and_then(|n| classes.get(n));
        for (column, cell) in row.iter().enumerate() {
            let class = match color {
                Some(class) if column + 1 == row.len() => format!(" class=\"{class}\""),
                _ => String::new(),
            };
            text += &format!("<{tag}{class}>{}</{tag}>", escaped(cell));
        }
        text += "</tr>\n";
    }
    text + "</table></div>\n"
}

//! Sections with links to them.

use crate::page::escaped;

/// The sections of a page under way.
#[derive(Default)]
pub struct Sections {
    /// Anchor and heading.
    sections: Vec<(&'static str, &'static str)>,
    body: String,
}

impl Sections {
    /// Begins a section.
    pub fn section(&mut self, anchor: &'static str, heading: &'static str) {
        if !self.sections.is_empty() {
            self.body += "</section>\n";
        }
        self.sections.push((anchor, heading));
        self.body += &format!("<section id=\"{anchor}\">\n<h2>{}</h2>\n", escaped(heading));
    }

    /// Adds to the last section.
    pub fn add(&mut self, html: &str) {
        self.body += html;
    }

    pub fn links(&self) -> String {
        let link = |(anchor, heading): &(&str, &str)| {
            format!("<li><a href=\"#{anchor}\">{}</a></li>", escaped(heading))
        };
        self.sections.iter().map(link).collect()
    }

    pub fn html(&self) -> String {
        let end = if self.sections.is_empty() {
            ""
        } else {
            "</section>\n"
        };
        format!("{}{end}", self.body)
    }
}

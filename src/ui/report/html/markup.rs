//! Markup that is well-formed and escaped by the way it is made.

use std::fmt::{self, Display, Write as _};

/// Attributes by name.
pub(super) type Attributes<'a> = [(&'a str, &'a dyn Display)];

/// A page that grows. It is XML as well as HTML, so any reader of either finds its end.
#[derive(Default)]
pub(super) struct Markup {
    text: String,
    ids: u32,
}

impl Markup {
    /// What was written.
    pub(super) fn finish(self) -> String {
        self.text
    }

    /// A name that no element has yet.
    pub(super) fn id(&mut self) -> String {
        self.ids += 1;
        format!("i{}", self.ids)
    }

    /// An element with what `inside` writes.
    pub(super) fn element(
        &mut self,
        name: &str,
        attributes: &Attributes<'_>,
        inside: impl FnOnce(&mut Self),
    ) {
        self.open(name, attributes);
        self.text.push('>');
        inside(self);
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push('>');
    }

    /// An element around a text.
    pub(super) fn around(&mut self, name: &str, attributes: &Attributes<'_>, text: &str) {
        self.element(name, attributes, |inside| inside.text(text));
    }

    /// An element that never has anything in it: of HTML's the void ones only, of SVG's any.
    pub(super) fn leaf(&mut self, name: &str, attributes: &Attributes<'_>) {
        self.open(name, attributes);
        self.text.push_str("/>");
    }

    /// Text that shows as it is.
    pub(super) fn text(&mut self, text: &str) {
        let _ = Escape(&mut self.text).write_str(text);
    }

    /// This program's own text, which needs no escape: a style sheet or the type of the document.
    pub(super) fn verbatim(&mut self, text: &'static str) {
        self.text.push_str(text);
    }

    fn open(&mut self, name: &str, attributes: &Attributes<'_>) {
        self.text.push('<');
        self.text.push_str(name);
        for (name, value) in attributes {
            // A String takes all that is written to it.
            let _ = write!(self.text, " {name}=\"");
            let _ = write!(Escape(&mut self.text), "{value}");
            self.text.push('"');
        }
    }
}

struct Escape<'t>(&'t mut String);

impl fmt::Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '&' => self.0.push_str("&amp;"),
                '"' => self.0.push_str("&#34;"),
                '\'' => self.0.push_str("&#39;"),
                // Not characters in XML.
                '\u{fffe}' | '\u{ffff}' => self.0.push('\u{fffd}'),
                c if c.is_control() => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

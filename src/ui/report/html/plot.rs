//! What all plots share: the frame, its texts and its axes.

use std::fmt::{self, Display};

use super::axis::Axis;
use super::markup::Markup;

/// Units of a plot's width. It is shown about as wide in pixels, on a phone a little smaller.
pub(super) const WIDTH: f64 = 480.0;

/// A length in a plot, to a tenth of a unit.
pub(super) struct Px(pub(super) f64);

impl Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.0)
    }
}

/// What a plot says to those who do not see it, and below itself.
pub(super) struct Words<'t> {
    pub(super) title: &'t str,
    /// What is to be seen.
    pub(super) description: &'t str,
    /// The text below.
    pub(super) caption: &'t str,
}

/// A plot of a size, drawn by `draw`.
pub(super) fn figure(
    page: &mut Markup,
    words: &Words<'_>,
    [width, height]: [f64; 2],
    draw: impl FnOnce(&mut Markup),
) {
    let (title, description) = (page.id(), page.id());
    let labels = format!("{title} {description}");
    let view = format!("0 0 {width:.0} {height:.0}");
    page.element("figure", &[], |page| {
        page.around("h3", &[], words.title);
        page.element("div", &[("class", &"plot")], |page| {
            let attributes: [(&str, &dyn Display); 5] = [
                ("viewBox", &view),
                ("width", &Px(width)),
                ("role", &"img"),
                ("aria-labelledby", &labels),
                ("xmlns", &"http://www.w3.org/2000/svg"),
            ];
            page.element("svg", &attributes, |page| {
                page.around("title", &[("id", &title)], words.title);
                page.around("desc", &[("id", &description)], words.description);
                draw(page);
            });
        });
        if !words.caption.is_empty() {
            page.around("figcaption", &[], words.caption);
        }
    });
}

/// Text at a place; `class` may be `end` or `middle` for where it is anchored.
pub(super) fn label(page: &mut Markup, [x, y]: [f64; 2], class: &str, text: &str) {
    page.around("text", &[("x", &Px(x)), ("y", &Px(y)), ("class", &class)], text);
}

/// A line.
pub(super) fn line(page: &mut Markup, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], class: &str) {
    let places: [(&str, &dyn Display); 5] =
        [("x1", &Px(x1)), ("y1", &Px(y1)), ("x2", &Px(x2)), ("y2", &Px(y2)), ("class", &class)];
    page.leaf("line", &places);
}

/// A rectangle with a text that shows when it is pointed at.
pub(super) fn rectangle(
    page: &mut Markup,
    [x, y]: [f64; 2],
    [width, height]: [f64; 2],
    class: &str,
    hint: &str,
) {
    let attributes: [(&str, &dyn Display); 5] = [
        ("x", &Px(x)),
        ("y", &Px(y)),
        ("width", &Px(width.max(0.0))),
        ("height", &Px(height.max(0.0))),
        ("class", &class),
    ];
    hinted(page, "rect", &attributes, hint);
}

/// A dot with a text that shows when it is pointed at.
pub(super) fn dot(page: &mut Markup, [x, y]: [f64; 2], radius: f64, class: &str, hint: &str) {
    let attributes: [(&str, &dyn Display); 4] =
        [("cx", &Px(x)), ("cy", &Px(y)), ("r", &Px(radius)), ("class", &class)];
    hinted(page, "circle", &attributes, hint);
}

fn hinted(page: &mut Markup, name: &str, attributes: &[(&str, &dyn Display)], hint: &str) {
    if hint.is_empty() {
        page.leaf(name, attributes);
    } else {
        page.element(name, attributes, |page| page.around("title", &[], hint));
    }
}

/// An axis at the bottom, with lines up through the plot.
pub(super) fn bottom_axis(
    page: &mut Markup,
    axis: &Axis,
    ticks: &[(f64, String)],
    [top, bottom]: [f64; 2],
) {
    for (tick, text) in ticks {
        let x = axis.at(*tick);
        line(page, [x, top], [x, bottom], "grid");
        label(page, [x, bottom + 15.0], "tick middle", text);
    }
}

/// An axis at the left, with lines through the plot.
pub(super) fn left_axis(
    page: &mut Markup,
    axis: &Axis,
    ticks: &[(f64, String)],
    [left, right]: [f64; 2],
) {
    for (tick, text) in ticks {
        let y = axis.at(*tick);
        line(page, [left, y], [right, y], "grid");
        label(page, [left - 6.0, y + 4.0], "tick end", text);
    }
}

/// A text that fits beside a plot: variants differ at their end, so the middle goes.
pub(super) fn shortened(text: &str, most: usize) -> String {
    super::super::table::shortened(text, most)
}

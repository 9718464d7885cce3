//! Tables whose least important columns go first when there is no room.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Row, Table};
use unicode_width::UnicodeWidthStr as _;

/// Cells between columns.
const GAP: u16 = 2;

/// The least that text is cut to before another column goes.
const LEAST: u16 = 16;

/// A column.
pub(super) struct Column {
    head: &'static str,
    /// The higher, the sooner it goes.
    dispensable: u8,
    cells: Vec<(String, Style)>,
    is_figure: bool,
}

impl Column {
    /// Text, which can be cut.
    pub(super) fn text<T>(
        head: &'static str,
        dispensable: u8,
        items: &[T],
        cell: impl Fn(&T) -> String,
    ) -> Self {
        let cells = items.iter().map(|item| (cell(item), Style::new())).collect();
        Self { head, dispensable, cells, is_figure: false }
    }

    /// Figures, which stand to the right and are never cut.
    pub(super) fn figures<T>(
        head: &'static str,
        dispensable: u8,
        items: &[T],
        cell: impl Fn(&T) -> String,
    ) -> Self {
        Self { is_figure: true, ..Self::text(head, dispensable, items, cell) }
    }

    /// With a style for each cell.
    pub(super) fn styled<T>(mut self, items: &[T], style: impl Fn(&T) -> Style) -> Self {
        for (cell, item) in self.cells.iter_mut().zip(items) {
            cell.1 = style(item);
        }
        self
    }

    fn says_something(&self) -> bool {
        self.cells.iter().any(|(cell, _)| !cell.is_empty())
    }

    fn width(&self) -> u16 {
        let cells = self.cells.iter().map(|(cell, _)| cell.width());
        let most = cells.chain([self.head.width()]).max().unwrap_or_default();
        u16::try_from(most).unwrap_or(u16::MAX)
    }

    fn shortest(&self) -> u16 {
        if self.is_figure { self.width() } else { self.width().min(LEAST) }
    }
}

/// Draws the columns that fit and say something; of rows that do not fit, says how many there are.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, mut columns: Vec<Column>) {
    columns.retain(Column::says_something);
    while taken(&columns, Column::shortest) > area.width && columns.len() > 1 {
        // Of equals the last one goes.
        let worst = (0..columns.len()).max_by_key(|i| columns[*i].dispensable).unwrap_or_default();
        columns.remove(worst);
    }
    if columns.is_empty() || area.height < 2 {
        return;
    }
    let mut over = taken(&columns, Column::width).saturating_sub(area.width);
    let mut widths: Vec<u16> = columns.iter().map(Column::width).collect();
    for (width, column) in widths.iter_mut().zip(&columns).rev() {
        let cut = over.min(*width - column.shortest());
        *width -= cut;
        over -= cut;
    }
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let room = usize::from(area.height - 1);
    let shown = if rows > room { room.saturating_sub(1) } else { rows };
    let cell = |column: &Column, text: &str, width: u16, style: Style| {
        let text = cut(text, width);
        let line = if column.is_figure { Line::raw(text).right_aligned() } else { Line::raw(text) };
        Cell::new(Text::from(line)).style(style)
    };
    let dim = Style::new().add_modifier(Modifier::DIM);
    let heads = columns.iter().zip(&widths);
    let head = Row::new(heads.map(|(column, width)| cell(column, column.head, *width, dim)));
    let body = (0..shown).map(|i| {
        Row::new(columns.iter().zip(&widths).map(|(column, width)| {
            let (text, style) = &column.cells[i];
            cell(column, text, *width, *style)
        }))
    });
    let table = Table::new(body, widths.iter().copied().map(Constraint::Length))
        .header(head)
        .column_spacing(GAP);
    frame.render_widget(table, area);
    if shown < rows {
        let last = Rect { y: area.bottom() - 1, height: 1, ..area };
        frame.render_widget(Line::styled(format!("… and {} more", rows - shown), dim), last);
    }
}

fn taken(columns: &[Column], width: impl Fn(&Column) -> u16) -> u16 {
    let gaps = GAP * u16::try_from(columns.len().saturating_sub(1)).unwrap_or(u16::MAX);
    columns.iter().map(width).fold(gaps, u16::saturating_add)
}

/// Text that is as wide as there is room, with a sign where some is missing.
pub(super) fn cut(text: &str, width: u16) -> String {
    let width = usize::from(width);
    if text.width() <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if short.width() + unicode_width::UnicodeWidthChar::width(c).unwrap_or(0) + 1 > width {
            break;
        }
        short.push(c);
    }
    if width > 0 {
        short.push('…');
    }
    short
}

//! Text in columns.

/// Rows under headings, each column as wide as its widest cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Clone, Debug)]
struct Column {
    heading: &'static str,
    right: bool,
}

impl Table {
    /// With these headings. Those that begin with `>` are flush right, as numbers are.
    pub(crate) fn new<const N: usize>(headings: [&'static str; N]) -> Self {
        let columns = headings.map(|heading| match heading.strip_prefix('>') {
            Some(heading) => Column { heading, right: true },
            None => Column { heading, right: false },
        });
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The lines, headings first; `empty` if there are no rows.
    pub(crate) fn lines_or(&self, empty: &str) -> String {
        if self.rows.is_empty() { empty.to_owned() } else { self.lines() }
    }

    /// The lines, headings first.
    pub(crate) fn lines(&self) -> String {
        let headings: Vec<String> = self.columns.iter().map(|column| column.heading.to_owned()).collect();
        let all: Vec<&Vec<String>> = std::iter::once(&headings).chain(&self.rows).collect();
        let width = |at: usize| all.iter().filter_map(|row| row.get(at)).map(|cell| shown(cell)).max();
        let widths: Vec<usize> = (0..self.columns.len()).map(|at| width(at).unwrap_or_default()).collect();
        let mut text = String::new();
        for row in all {
            let mut line = String::new();
            for ((cell, width), column) in row.iter().zip(&widths).zip(&self.columns) {
                let padding = " ".repeat(width - shown(cell));
                let (before, after) =
                    if column.right { (padding.as_str(), "") } else { ("", padding.as_str()) };
                line += &format!("{before}{cell}{after}  ");
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// Names and their values, the values under each other.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    pairs.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// How many places a text takes on the screen: colours take none.
fn shown(text: &str) -> usize {
    let mut places = 0;
    let mut in_colour = false;
    for letter in text.chars() {
        match letter {
            '\x1b' => in_colour = true,
            'm' if in_colour => in_colour = false,
            _ if in_colour => {}
            _ => places += 1,
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_colours_take_no_place() {
        let mut table = Table::new(["step", ">amount", "ok"]);
        table.row(["purchase".into(), "24.98 USD".into(), "\x1b[32myes\x1b[0m".into()]);
        table.row(["x".into(), "1.00 USD".into(), "no".into()]);
        assert_eq!(
            table.lines(),
            "step         amount  ok\npurchase  24.98 USD  \x1b[32myes\x1b[0m\nx          1.00 USD  no\n"
        );
        assert_eq!(Table::new(["a"]).lines_or("nothing"), "nothing");
        assert_eq!(pairs(&[("a", "1".into()), ("long", "2".into())]), "a     1\nlong  2\n");
    }
}

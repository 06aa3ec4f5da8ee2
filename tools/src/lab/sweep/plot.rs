//! The results of a sweep for a person: a table, and a page with plots.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::database::Row;
use crate::lab::html::{bars, escape, page as frame};
use crate::table::{columns, grouped};

/// Points in a plot, at most.
const MOST_BARS: usize = 200;

/// A line a point.
pub fn table(rows: &[Row]) -> String {
    let names = names(rows);
    let mut headings = vec!["point".to_owned()];
    headings.extend(names.iter().cloned());
    headings.extend(["instructions", "exits"].map(String::from));
    let lines = rows.iter().map(|row| {
        let mut cells = vec![row.number.to_string()];
        cells.extend(names.iter().map(|name| setting(row, name).to_owned()));
        cells.push(result(row));
        cells.push(grouped(row.exits));
        cells
    });
    format!("{}\n", columns(&headings, lines.collect()))
}

/// Every name that is set, in the order in which points set them.
fn names(rows: &[Row]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in rows.iter().flat_map(|row| &row.settings) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn setting<'r>(row: &'r Row, name: &str) -> &'r str {
    let found = row.settings.iter().find(|(other, _)| other == name);
    found.map_or("", |(_, value)| value)
}

fn result(row: &Row) -> String {
    match (row.instructions, &row.error) {
        (Some(instructions), _) => grouped(instructions),
        (None, Some(_)) => "failed".into(),
        (None, None) => "-".into(),
    }
}

/// The page.
pub fn page(rows: &[Row]) -> String {
    let names = names(rows);
    let mut body = format!("<p>{} points.</p>\n", rows.len());
    for name in &names {
        let _ = write!(
            body,
            "<h2>By {}</h2>\n<div class=\"scroll\">{}</div>\n",
            escape(name),
            by_value(rows, name)
        );
    }
    let shown: Vec<_> = rows.iter().take(MOST_BARS).collect();
    let labels: Vec<_> = shown
        .iter()
        .map(|row| {
            let values: Vec<_> = names.iter().map(|name| setting(row, name)).collect();
            values.join(", ")
        })
        .collect();
    let instructions = shown.iter().map(|row| row.instructions.unwrap_or(0));
    let _ = write!(
        body,
        "<h2>Every point</h2>\n<div class=\"scroll\">{}</div>\n<div class=\"scroll\">{}</div>\n",
        bars(&labels, &[instructions.collect()], ""),
        html_table(rows, &names)
    );
    frame("Sweep", &body)
}

/// Average instructions for each value of a setting.
fn by_value(rows: &[Row], name: &str) -> String {
    let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in rows {
        if let Some(instructions) = row.instructions {
            let (sum, count) = sums.entry(setting(row, name)).or_default();
            *sum = sum.saturating_add(instructions);
            *count += 1;
        }
    }
    let labels: Vec<_> = sums.keys().map(|value| (*value).to_owned()).collect();
    let averages = sums.values().map(|(sum, count)| sum / count.max(&1));
    bars(&labels, &[averages.collect()], "instr. on average")
}

fn html_table(rows: &[Row], names: &[String]) -> String {
    let mut text = String::from("<table>\n<tr><th>Point</th>");
    for name in names {
        let _ = write!(text, "<th>{}</th>", escape(name));
    }
    text.push_str("<th>Instructions</th><th>Exits</th></tr>\n");
    for row in rows {
        let _ = write!(text, "<tr><td>{}</td>", row.number);
        for name in names {
            let _ = write!(text, "<td>{}</td>", escape(setting(row, name)));
        }
        let error = row.error.as_deref().unwrap_or_default();
        let _ = writeln!(
            text,
            "<td title=\"{}\">{}</td><td>{}</td></tr>",
            escape(error),
            result(row),
            grouped(row.exits)
        );
    }
    text.push_str("</table>");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |number, value: &str, instructions, error: Option<&str>| Row {
            key: format!("{number}"),
            number,
            settings: vec![("rdtsc".into(), value.into())],
            instructions,
            exits: 7,
            error: error.map(str::to_owned),
        };
        vec![
            row(0, "pass", Some(1000), None),
            row(1, "count", Some(3000), None),
            row(2, "count", None, Some("<broke>")),
        ]
    }

    #[test]
    fn the_table_shows_settings_results_and_failures() {
        let text = table(&rows());
        assert!(text.contains("rdtsc") && text.contains("3,000"), "{text}");
        assert!(text.contains("failed"), "{text}");
    }

    #[test]
    fn the_page_averages_by_value_and_escapes_errors() {
        let text = page(&rows());
        assert!(
            text.contains("By rdtsc") && text.contains("3,000 instr."),
            "{text}"
        );
        assert!(
            text.contains("&lt;broke&gt;") && !text.contains("<broke>"),
            "{text}"
        );
    }
}

//! What the lab's pages have in common: escaping, the page's frame, bars.

use std::fmt::Write;

/// Text that stands in HTML.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, character| {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
        escaped
    })
}

/// A whole page: needs no network, follows the reader's light or dark mode.
pub fn page(title: &str, body: &str) -> String {
    const STYLE: &str = include_str!("page.css");
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n{body}</body>\n</html>\n"
    )
}

/// An attribute that gives a series its own colour, far from those before it: each is the golden
/// angle further round the circle.
pub fn hue(series: usize) -> String {
    let hue = (213.0 + 137.508 * series as f64) % 360.0;
    format!("style=\"--hue: {hue:.0}\"")
}

/// Horizontal bars in groups: for each label, one bar a series.
pub fn bars(labels: &[String], series: &[Vec<u64>], unit: &str) -> String {
    const LABEL: u32 = 170;
    const WIDE: u32 = 420;
    const BAR: u32 = 16;
    const GAP: u32 = 10;
    let largest = series.iter().flatten().copied().max().unwrap_or(0).max(1);
    let group = BAR * series.len() as u32 + GAP;
    let height = group * labels.len() as u32 + GAP;
    let width = LABEL + WIDE + 130;
    let mut svg = format!(
        "<svg role=\"img\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n"
    );
    for (place, label) in labels.iter().enumerate() {
        let top = GAP + group * place as u32;
        let _ = writeln!(
            svg,
            "<text class=\"label\" x=\"{}\" y=\"{}\">{}</text>",
            LABEL - 8,
            top + (group - GAP) / 2 + 4,
            escape(label)
        );
        for (side, numbers) in series.iter().enumerate() {
            let number = numbers.get(place).copied().unwrap_or(0);
            let length = (number as f64 / largest as f64 * f64::from(WIDE)).max(1.0);
            let y = top + BAR * side as u32;
            let _ = writeln!(
                svg,
                "<rect class=\"side\" {} x=\"{LABEL}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{} {unit}</text>",
                hue(side),
                BAR - 2,
                f64::from(LABEL) + length + 5.0,
                y + BAR - 4,
                crate::table::grouped(number)
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_policy_says_is_read_as_markup() {
        assert_eq!(escape("<b> & \"c\""), "&lt;b&gt; &amp; &quot;c&quot;");
        let page = page("</title><script>", "");
        assert!(!page.contains("<script>"), "{page}");
    }

    #[test]
    fn no_two_policies_have_one_colour() {
        let hues: std::collections::BTreeSet<_> = (0..26).map(hue).collect();
        assert_eq!(hues.len(), 26);
    }

    #[test]
    fn the_longest_bar_is_that_of_the_largest_number() {
        let svg = bars(&["a".into(), "b".into()], &[vec![10, 5]], "exits");
        assert!(
            svg.contains("width=\"420.0\"") && svg.contains("width=\"210.0\""),
            "{svg}"
        );
        assert!(bars(&[], &[], "").starts_with("<svg"));
    }
}

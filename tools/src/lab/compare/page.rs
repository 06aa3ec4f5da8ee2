//! A comparison as a page with plots.

use std::fmt::Write;

use super::sides::ExitSides;
use super::table::change;
use super::{Side, Sides, VmSides};
use crate::lab::html::{bars, escape, hue, page as frame};
use crate::table::grouped;

/// Bars in a plot, at most: the exits that differ most.
const MOST_BARS: usize = 12;

/// The page.
pub fn page(sides: &[Side], compared: &Sides) -> String {
    let mut body = String::from("<p>");
    for (index, side) in sides.iter().enumerate() {
        let _ = write!(
            body,
            "<span class=\"key side\" {}></span>{}: {}<br>",
            hue(index),
            letter(index),
            escape(&side.policy)
        );
    }
    body.push_str("</p>\n");
    body.push_str(&differences(sides));
    if compared.are_alike() {
        body.push_str(
            "<h2>Exits</h2>\n<p id=\"alike\">No difference in anything that was counted.</p>\n",
        );
    }
    for vm in &compared.vms {
        body.push_str(&of_vm(vm, sides.len()));
    }
    body.push_str(&totals(sides, compared));
    frame("Policies side by side", &body)
}

fn letter(index: usize) -> char {
    ('A'..='Z').nth(index).unwrap_or('?')
}

fn differences(sides: &[Side]) -> String {
    let mut text = String::from("<h2>What differs in the policies</h2>\n");
    for (index, side) in sides.iter().enumerate().skip(1) {
        if side.differences.is_empty() {
            let _ = writeln!(text, "<p>{} says what A says.</p>", letter(index));
            continue;
        }
        let _ = write!(text, "<p>{} against A:</p>\n<pre>", letter(index));
        for line in &side.differences {
            let class = match line.trim_start().chars().next() {
                Some('+') => "plus",
                Some('-') => "minus",
                _ => "faint",
            };
            let _ = writeln!(text, "<span class=\"{class}\">{}</span>", escape(line));
        }
        text.push_str("</pre>\n");
    }
    text
}

fn of_vm(vm: &VmSides, sides: usize) -> String {
    let shown: Vec<_> = vm.exits.iter().take(MOST_BARS).collect();
    let labels: Vec<_> = shown.iter().map(|exit| exit.name.clone()).collect();
    let series = |numbers: fn(&ExitSides) -> &[u64]| -> Vec<Vec<u64>> {
        (0..sides)
            .map(|side| shown.iter().map(|exit| numbers(exit)[side]).collect())
            .collect()
    };
    format!(
        "<h2>VM {}</h2>\n<h3>Exits</h3>\n<div class=\"scroll\">{}</div>\n\
         <h3>Instructions of the VMM</h3>\n<div class=\"scroll\">{}</div>\n\
         <h3>All of them</h3>\n<div class=\"scroll\">{}</div>\n",
        escape(&vm.name),
        bars(&labels, &series(|exit| &exit.count), ""),
        bars(&labels, &series(|exit| &exit.cycles), ""),
        table(vm.exits.iter().chain(&vm.details), sides),
    )
}

fn table<'r>(rows: impl Iterator<Item = &'r ExitSides>, sides: usize) -> String {
    let mut text = String::from("<table>\n<tr><th>Exit</th>");
    for side in 0..sides {
        let _ = write!(text, "<th>{}</th>", letter(side));
    }
    for side in 1..sides {
        let _ = write!(text, "<th>{0} − A</th><th>cost of {0}</th>", letter(side));
    }
    text.push_str("</tr>\n");
    for row in rows {
        let _ = write!(text, "<tr><td>{}</td>", escape(&row.name));
        for count in &row.count {
            let _ = write!(text, "<td>{}</td>", grouped(*count));
        }
        for side in 1..sides {
            for numbers in [&row.count, &row.cycles] {
                let _ = write!(text, "<td>{}</td>", change(numbers[0], numbers[side]));
            }
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</table>");
    text
}

fn totals(sides: &[Side], compared: &Sides) -> String {
    let mut labels = vec!["all".to_owned()];
    let mut series: Vec<Vec<u64>> = compared.instructions.iter().map(|all| vec![*all]).collect();
    for vm in &compared.vms {
        for (what, numbers) in [("guest", &vm.guest), ("VMM for", &vm.vmm)] {
            labels.push(format!("{what} {}", vm.name));
            for (side, number) in series.iter_mut().zip(numbers) {
                side.push(*number);
            }
        }
    }
    let mut text = format!(
        "<h2>Instructions to the end of the run</h2>\n<div class=\"scroll\">{}</div>\n",
        bars(&labels, &series, "")
    );
    let times: Vec<u64> = sides
        .iter()
        .filter_map(|side| side.median().map(|seconds| (seconds * 1000.0) as u64))
        .collect();
    if times.len() == sides.len() {
        let series: Vec<_> = times.into_iter().map(|time| vec![time]).collect();
        let _ = write!(
            text,
            "<h2>Time on this host</h2>\n<div class=\"scroll\">{}</div>\n\
             <p class=\"faint\">The middle of {} runs of the whole command; it depends on what else the host did.</p>\n",
            bars(&["whole run".to_owned()], &series, "ms"),
            sides[0].seconds.len()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::compare::sides::tests::side;

    #[test]
    fn the_page_shows_every_exit_and_says_so_if_none_differs() {
        let one = side("a", &[("cpuid", 5, 300), ("hlt", 1, 80)]);
        let same = [one.clone(), one];
        let text = page(&same, &Sides::new(&same));
        assert!(
            text.contains("id=\"alike\"") && text.contains("<td>hlt</td>"),
            "{text}"
        );
        let differing = [same[0].clone(), side("b", &[("rdtsc", 9, 700)])];
        let text = page(&differing, &Sides::new(&differing));
        assert!(
            !text.contains("id=\"alike\"") && text.contains("+700"),
            "{text}"
        );
    }
}

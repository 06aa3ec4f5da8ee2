//! A comparison for a person at a terminal.

use std::fmt::Write;

use super::{Side, Sides, VmSides};
use crate::lab::compare::sides::ExitSides;
use crate::table::{columns, grouped};

/// The whole text.
pub fn text(sides: &[Side], compared: &Sides) -> String {
    let mut text = String::new();
    for (letter, side) in letters().zip(sides) {
        let _ = writeln!(text, "{letter}: {}", side.policy);
    }
    text.push('\n');
    for (letter, side) in letters().zip(sides).skip(1) {
        if side.differences.is_empty() {
            let _ = writeln!(text, "{letter} says what A says.");
        } else {
            let _ = writeln!(text, "What {letter} says otherwise than A:");
            for line in &side.differences {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
    if compared.are_alike() {
        let instructions = grouped(compared.instructions.first().copied().unwrap_or(0));
        let _ = writeln!(
            text,
            "\nNo difference in anything that was counted: {instructions} instructions each."
        );
    } else {
        for vm in &compared.vms {
            let _ = writeln!(text, "\n{}", exits(vm, sides.len()));
        }
    }
    let _ = writeln!(text, "\n{}", totals(sides, compared));
    text
}

fn letters() -> impl Iterator<Item = char> {
    'A'..='Z'
}

/// `+1,234`, `-5`, or nothing where there is no change.
pub(super) fn change(first: u64, other: u64) -> String {
    let by = grouped(first.abs_diff(other));
    match first.cmp(&other) {
        std::cmp::Ordering::Less => format!("+{by}"),
        std::cmp::Ordering::Equal => String::new(),
        std::cmp::Ordering::Greater => format!("-{by}"),
    }
}

/// The exits that differ, and how many do not.
fn exits(vm: &VmSides, sides: usize) -> String {
    let mut headings = vec![format!("VM {}", vm.name)];
    headings.extend(
        letters()
            .take(sides)
            .map(|letter| format!("{letter}: exits")),
    );
    for letter in letters().take(sides).skip(1) {
        headings.push(format!("{letter} - A"));
        headings.push("cost, instr.".into());
    }
    let differing = |rows: &[ExitSides], indent: &str| -> Vec<Vec<String>> {
        rows.iter()
            .filter(|row| !row.is_alike())
            .map(|row| {
                let mut cells = vec![format!("{indent}{}", row.name)];
                cells.extend(row.count.iter().map(|count| grouped(*count)));
                for (count, cycles) in row.count.iter().zip(&row.cycles).skip(1) {
                    cells.push(change(row.count[0], *count));
                    cells.push(change(row.cycles[0], *cycles));
                }
                cells
            })
            .collect()
    };
    let mut rows = differing(&vm.exits, "");
    rows.extend(differing(&vm.details, "  "));
    let alike = vm.exits.iter().filter(|row| row.is_alike()).count();
    let note = match alike {
        0 => String::new(),
        1 => "\n(1 exit is alike)".to_owned(),
        _ => format!("\n({alike} exits are alike)"),
    };
    format!("{}{note}", columns(&headings, rows))
}

/// Instructions and time.
fn totals(sides: &[Side], compared: &Sides) -> String {
    let mut headings = vec![String::new()];
    headings.extend(letters().take(sides.len()).map(String::from));
    headings.extend(
        letters()
            .take(sides.len())
            .skip(1)
            .map(|letter| format!("{letter} - A")),
    );
    let row = |name: String, numbers: &[u64]| {
        let mut cells = vec![name];
        cells.extend(numbers.iter().map(|number| grouped(*number)));
        cells.extend(
            numbers
                .iter()
                .skip(1)
                .map(|number| change(numbers[0], *number)),
        );
        cells
    };
    let mut rows = vec![row("instructions".into(), &compared.instructions)];
    for vm in &compared.vms {
        rows.push(row(format!("  of guest {}", vm.name), &vm.guest));
        rows.push(row(format!("  of the VMM for {}", vm.name), &vm.vmm));
    }
    let medians: Vec<_> = sides.iter().map(Side::median).collect();
    if let Some(first) = medians.first().copied().flatten() {
        let mut cells = vec!["seconds on this host".to_owned()];
        let shown = |seconds: &Option<f64>| seconds.map_or(String::new(), |s| format!("{s:.2}"));
        cells.extend(medians.iter().map(shown));
        let against = |seconds: &Option<f64>| {
            seconds.map_or(String::new(), |seconds| format!("{:+.2}", seconds - first))
        };
        cells.extend(medians.iter().skip(1).map(against));
        rows.push(cells);
    }
    columns(&headings, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::compare::sides::tests::side;

    #[test]
    fn a_policy_beside_itself_shows_no_difference() {
        let one = side("a", &[("cpuid", 5, 300)]);
        let sides = [one.clone(), one];
        let text = text(&sides, &Sides::new(&sides));
        assert!(text.contains("B says what A says."), "{text}");
        assert!(text.contains("No difference in anything"), "{text}");
        assert!(!text.contains("cpuid"), "{text}");
    }

    #[test]
    fn one_more_intercept_shows_its_bit_its_count_and_its_cost() {
        let mut other = side("b", &[("cpuid", 5, 300), ("rdtsc", 9, 700)]);
        other.differences = vec!["  + VMCB 00Ch intercept_misc1 bit 14: rdtsc".into()];
        let sides = [side("a", &[("cpuid", 5, 300)]), other];
        let text = text(&sides, &Sides::new(&sides));
        assert!(text.contains("bit 14: rdtsc"), "{text}");
        let line = text
            .lines()
            .find(|line| line.contains("+9"))
            .expect("a line");
        assert!(line.contains("rdtsc") && line.contains("+700"), "{text}");
        assert!(text.contains("(1 exit is alike)"), "{text}");
    }
}

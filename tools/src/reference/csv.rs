//! The reference as CSV (RFC 4180): one table for a spreadsheet, a row for each field, bit, exit,
//! MSR and instruction, and for what policies make of them.

use super::markdown::place;
use super::model::{BitsRow, Reference};

const HEADINGS: [&str; 12] = [
    "kind",
    "of",
    "place",
    "bytes",
    "name",
    "meaning",
    "reset",
    "demands",
    "written by",
    "read by",
    "needs",
    "section",
];

/// The table.
pub fn text(reference: &Reference) -> String {
    let mut table = Table(String::new());
    table.row(HEADINGS);
    for field in &reference.fields {
        table.row([
            if field.reserved { "reserved" } else { "field" },
            field.area,
            &format!("{:#05x}", field.offset),
            &field.bytes.to_string(),
            field.name,
            field.meaning,
            field.reset.as_deref().unwrap_or_default(),
            &field.demands.join("; "),
            field.written_by,
            field.read_by,
            field.needs.unwrap_or_default(),
            field.section,
        ]);
        table.bits(field.name, &field.bits);
    }
    for exit in &reference.exits {
        let cause = &exit.cause;
        table.row([
            "exit",
            cause,
            &exit.code,
            "",
            exit.apm,
            exit.trigger,
            "",
            "",
            "",
            "",
            exit.needs.unwrap_or_default(),
            exit.section,
        ]);
        for (info, text, bits) in [
            ("EXITINFO1", exit.info1, &exit.info1_bits),
            ("EXITINFO2", exit.info2, &exit.info2_bits),
        ] {
            table.row([
                "info", exit.apm, info, "8", "", text, "", "", "", "", "", "",
            ]);
            table.bits(&format!("{} {info}", exit.apm), bits);
        }
    }
    for msr in &reference.msrs {
        table.row([
            "msr",
            "",
            &msr.number,
            "8",
            msr.name,
            msr.meaning,
            "",
            "",
            "",
            "",
            "",
            "",
        ]);
        table.bits(msr.name, &msr.bits);
    }
    for row in &reference.cpuid {
        table.row([
            "cpuid",
            "8000_000Ah",
            row.register,
            "4",
            "",
            row.meaning,
            "",
            "",
            "",
            "",
            "",
            "",
        ]);
        table.bits(&format!("8000_000Ah {}", row.register), &row.bits);
    }
    for instruction in &reference.instructions {
        table.row([
            "instruction",
            instruction.operands,
            &instruction.opcode,
            "",
            instruction.mnemonic,
            instruction.meaning,
            "",
            "",
            "",
            "",
            instruction.needs,
            instruction.section,
        ]);
    }
    for policy in &reference.policies {
        for vm in &policy.vms {
            let of = format!("{} {}", policy.file, vm.name);
            let said = |line: Option<usize>, text: &str| {
                line.map_or_else(|| text.to_owned(), |line| format!("line {line}: {text}"))
            };
            for value in &vm.fields {
                for part in &value.parts {
                    let number = value.value.as_deref().unwrap_or("at run time");
                    let by = said(part.line, &part.text);
                    table.row([
                        "value",
                        &of,
                        number,
                        "",
                        value.field,
                        &part.what,
                        "",
                        "",
                        &by,
                        "",
                        "",
                        "",
                    ]);
                }
            }
            for gate in &vm.exits {
                let by = said(gate.line, &gate.text);
                table.row([
                    "handler",
                    &of,
                    &gate.code,
                    "",
                    gate.exit,
                    &gate.handler,
                    "",
                    "",
                    &by,
                    "",
                    "",
                    "",
                ]);
            }
        }
    }
    table.0
}

struct Table(String);

impl Table {
    fn row(&mut self, cells: [&str; HEADINGS.len()]) {
        let cells: Vec<String> = cells.into_iter().map(quoted).collect();
        self.0.push_str(&cells.join(","));
        self.0.push_str("\r\n");
    }

    fn bits(&mut self, of: &str, rows: &[BitsRow]) {
        for bits in rows {
            let values: Vec<_> = bits
                .values
                .iter()
                .map(|(value, stands_for)| format!("{value} {stands_for}"))
                .collect();
            self.row([
                "bits",
                of,
                &place(bits),
                "",
                bits.name.unwrap_or_default(),
                bits.meaning,
                "",
                &values.join("; "),
                "",
                "",
                bits.needs.unwrap_or_default(),
                "",
            ]);
        }
    }
}

fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_as_many_cells_as_there_are_headings() {
        let text = text(&Reference::new(Vec::new()));
        for row in text.lines() {
            let mut in_quotes = false;
            let commas = row
                .chars()
                .filter(|character| {
                    in_quotes ^= *character == '"';
                    *character == ',' && !in_quotes
                })
                .count();
            assert_eq!(commas + 1, HEADINGS.len(), "{row}");
        }
    }

    #[test]
    fn every_exit_has_what_its_information_holds() {
        let reference = Reference::new(Vec::new());
        let table = text(&reference);
        for exit in &reference.exits {
            for (info, text) in [("EXITINFO1", exit.info1), ("EXITINFO2", exit.info2)] {
                let row = format!("info,{},{info},8,,{}", exit.apm, quoted(text));
                assert!(table.contains(&row), "{row}");
            }
        }
    }

    #[test]
    fn quotes_and_commas_stay_within_their_cell() {
        assert_eq!(quoted("a \"b\", c"), "\"a \"\"b\"\", c\"");
        assert_eq!(quoted("plain"), "plain");
    }
}

//! The reference as Markdown, one table a subject.

use std::fmt::{self, Display, Formatter};

use super::model::{BitsRow, ExitRow, FieldRow, InstructionRow, MsrRow, Reference};
use super::overlay::{PolicyView, VmView};

/// Shows the reference as Markdown.
#[derive(Debug)]
pub struct Markdown<'r>(pub &'r Reference);

impl Display for Markdown<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let reference = self.0;
        writeln!(out, "# SVM, in tables\n")?;
        writeln!(
            out,
            "Made by `cargo vmcb-docs` from the tables that Tollgate itself is built of. Facts and section \
             numbers are of the {}; \"needs\" names a CPU feature as `vm.toml` does.\n",
            reference.source
        )?;
        for policy in &reference.policies {
            overlay(out, policy)?;
        }
        for part in Part::ALL {
            writeln!(out, "## {}\n", part.title())?;
            part.write(out, reference)?;
            writeln!(out)?;
        }
        Ok(())
    }
}

/// A part of the reference, which a book can include by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The control area, field by field.
    Control,
    /// The save area, field by field.
    Save,
    /// The bits of the fields.
    Bits,
    /// The exits.
    Exits,
    /// The formats of EXITINFO1 and EXITINFO2.
    Infos,
    /// SVM's MSRs.
    Msrs,
    /// CPUID leaf 8000_000Ah.
    Cpuid,
    /// SVM's instructions.
    Instructions,
}

impl Part {
    /// Every part, in the order of the document.
    pub const ALL: [Part; 8] = [
        Part::Control,
        Part::Save,
        Part::Bits,
        Part::Exits,
        Part::Infos,
        Part::Msrs,
        Part::Cpuid,
        Part::Instructions,
    ];

    /// The name by which a book includes it.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Control => "control",
            Part::Save => "save",
            Part::Bits => "bits",
            Part::Exits => "exits",
            Part::Infos => "infos",
            Part::Msrs => "msrs",
            Part::Cpuid => "cpuid",
            Part::Instructions => "instructions",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Part::Control => "The VMCB's control area",
            Part::Save => "The VMCB's save area",
            Part::Bits => "Bits of the fields",
            Part::Exits => "Exits",
            Part::Infos => "EXITINFO1 and EXITINFO2",
            Part::Msrs => "MSRs",
            Part::Cpuid => "CPUID leaf 8000_000Ah",
            Part::Instructions => "Instructions",
        }
    }

    /// Writes the part, without a title.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(self, out: &mut impl fmt::Write, reference: &Reference) -> fmt::Result {
        match self {
            Part::Control => fields(out, reference, "control"),
            Part::Save => fields(out, reference, "save"),
            Part::Bits => bits_of_fields(out, &reference.fields),
            Part::Exits => exits(out, &reference.exits),
            Part::Infos => infos(out, &reference.exits),
            Part::Msrs => msrs(out, &reference.msrs),
            Part::Cpuid => {
                for row in &reference.cpuid {
                    writeln!(out, "**{}**: {}.\n", row.register, row.meaning)?;
                    bits(out, &row.bits)?;
                }
                Ok(())
            }
            Part::Instructions => instructions(out, &reference.instructions),
        }
    }
}

/// A row of a table.
fn row<const N: usize>(out: &mut impl fmt::Write, cells: [&str; N]) -> fmt::Result {
    for cell in cells {
        write!(out, "| {} ", cell.replace('|', "\\|"))?;
    }
    writeln!(out, "|")
}

/// The heading of a table.
fn head<const N: usize>(out: &mut impl fmt::Write, cells: [&str; N]) -> fmt::Result {
    row(out, cells)?;
    row(out, ["---"; N])
}

fn fields(out: &mut impl fmt::Write, reference: &Reference, area: &str) -> fmt::Result {
    head(
        out,
        [
            "Offset",
            "Bytes",
            "Field",
            "Meaning",
            "Reset",
            "VMRUN demands",
            "Written by",
            "Read by",
            "Needs",
        ],
    )?;
    for field in reference.fields.iter().filter(|field| field.area == area) {
        let name = if field.reserved { "" } else { field.name };
        row(
            out,
            [
                &format!("{:03X}h", field.offset),
                &field.bytes.to_string(),
                &code(name),
                field.meaning,
                field.reset.as_deref().unwrap_or_default(),
                &field.demands.join("; "),
                field.written_by,
                field.read_by,
                field.needs.unwrap_or_default(),
            ],
        )?;
    }
    Ok(())
}

fn code(name: &str) -> String {
    if name.is_empty() {
        String::new()
    } else {
        format!("`{name}`")
    }
}

fn bits_of_fields(out: &mut impl fmt::Write, fields: &[FieldRow]) -> fmt::Result {
    let mut shown: Vec<&FieldRow> = Vec::new();
    for field in fields.iter().filter(|field| !field.bits.is_empty()) {
        writeln!(out, "### {:03X}h `{}`\n", field.offset, field.name)?;
        // Registers of one kind have one format.
        let same = shown.iter().find(|other| is_same(&other.bits, &field.bits));
        if let Some(same) = same {
            writeln!(out, "As `{}`.\n", same.name)?;
            continue;
        }
        bits(out, &field.bits)?;
        shown.push(field);
    }
    Ok(())
}

fn is_same(one: &[BitsRow], other: &[BitsRow]) -> bool {
    let key = |row: &BitsRow| (row.name, row.high, row.low, row.meaning);
    one.iter().map(key).eq(other.iter().map(key))
}

/// The table of a format.
fn bits(out: &mut impl fmt::Write, rows: &[BitsRow]) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    head(out, ["Bits", "Name", "Meaning", "Needs"])?;
    for bits in rows {
        let values: Vec<_> = bits
            .values
            .iter()
            .map(|(value, stands_for)| format!("{value} {stands_for}"))
            .collect();
        let meaning = if values.is_empty() {
            bits.meaning.to_owned()
        } else {
            format!("{}: {}", bits.meaning, values.join(", "))
        };
        row(
            out,
            [
                &place(bits),
                &code(bits.name.unwrap_or_default()),
                &meaning,
                bits.needs.unwrap_or_default(),
            ],
        )?;
    }
    writeln!(out)
}

/// `31:16`, or `7`.
pub fn place(bits: &BitsRow) -> String {
    if bits.high == bits.low {
        bits.low.to_string()
    } else {
        format!("{}:{}", bits.high, bits.low)
    }
}

fn exits(out: &mut impl fmt::Write, exits: &[ExitRow]) -> fmt::Result {
    head(
        out,
        [
            "Code",
            "Exit",
            "In vm.toml",
            "Cause",
            "When",
            "EXITINFO1",
            "EXITINFO2",
            "RIP",
            "Needs",
            "APM",
        ],
    )?;
    for exit in exits {
        row(
            out,
            [
                &exit.code,
                &code(exit.apm),
                &code(exit.name),
                &exit.cause,
                exit.trigger,
                exit.info1,
                exit.info2,
                &exit.rip,
                exit.needs.unwrap_or_default(),
                exit.section,
            ],
        )?;
    }
    Ok(())
}

fn infos(out: &mut impl fmt::Write, exits: &[ExitRow]) -> fmt::Result {
    let mut shown: Vec<&[BitsRow]> = Vec::new();
    for exit in exits {
        for (info, rows) in [
            ("EXITINFO1", &exit.info1_bits),
            ("EXITINFO2", &exit.info2_bits),
        ] {
            // The 16 control registers have one format, and so have the debug registers.
            if rows.is_empty() || shown.iter().any(|other| is_same(other, rows)) {
                continue;
            }
            writeln!(out, "### {info} of `{}` ({})\n", exit.apm, exit.code)?;
            bits(out, rows)?;
            shown.push(rows);
        }
    }
    Ok(())
}

fn msrs(out: &mut impl fmt::Write, msrs: &[MsrRow]) -> fmt::Result {
    for msr in msrs {
        writeln!(out, "**{}** `{}`: {}.\n", msr.number, msr.name, msr.meaning)?;
        bits(out, &msr.bits)?;
    }
    Ok(())
}

fn instructions(out: &mut impl fmt::Write, rows: &[InstructionRow]) -> fmt::Result {
    head(
        out,
        [
            "Instruction",
            "Bytes",
            "Operands",
            "What it does",
            "Where",
            "Exit",
            "Needs",
            "APM",
        ],
    )?;
    for instruction in rows {
        row(
            out,
            [
                instruction.mnemonic,
                &instruction.opcode,
                instruction.operands,
                instruction.meaning,
                instruction.privilege,
                &code(instruction.exit),
                instruction.needs,
                instruction.section,
            ],
        )?;
    }
    Ok(())
}

fn overlay(out: &mut impl fmt::Write, policy: &PolicyView) -> fmt::Result {
    for vm in &policy.vms {
        writeln!(out, "## {}: VM `{}`\n", policy.file, vm.name)?;
        values(out, policy, vm)?;
        head(out, ["Code", "Exit", "Handler", "Said at"])?;
        for gate in &vm.exits {
            row(
                out,
                [
                    &gate.code,
                    &code(gate.exit),
                    &code(&gate.handler),
                    &said(policy, gate.line, &gate.text),
                ],
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn values(out: &mut impl fmt::Write, policy: &PolicyView, vm: &VmView) -> fmt::Result {
    head(out, ["Field", "Value", "Holds", "Said at"])?;
    for value in &vm.fields {
        let mut first = true;
        for part in &value.parts {
            let (field, number) = if first {
                let number = value.value.as_deref().unwrap_or("at run time");
                (code(value.field), number)
            } else {
                (String::new(), "")
            };
            first = false;
            row(
                out,
                [
                    &field,
                    number,
                    &part.what,
                    &said(policy, part.line, &part.text),
                ],
            )?;
        }
    }
    writeln!(out)
}

/// `vm.toml:40: cpuid = "emulate"`, or who else decides.
fn said(policy: &PolicyView, line: Option<usize>, text: &str) -> String {
    line.map_or_else(
        || text.to_owned(),
        |line| format!("{}:{line}: {}", policy.file, code(text)),
    )
}

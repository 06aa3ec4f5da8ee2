//! The rows of the reference, made from the vocabulary.

use intercepts::info::info_bits;
use intercepts::vmcb::{self, Field};
use intercepts::{
    Action, Advance, Bits, EXITS, Exit, FEATURES, Feature, INSTRUCTIONS, Instruction, Intercept,
    MSRS, Msr, Owner, Register, Timing,
};

use super::model::{BitsRow, CpuidRow, ExitRow, FieldRow, InstructionRow, MsrRow, Reference};
use super::overlay::PolicyView;

impl Reference {
    /// The vocabulary, with these policies laid over it.
    pub fn new(policies: Vec<PolicyView>) -> Reference {
        Reference {
            source: "AMD64 Architecture Programmer's Manual, volume 2 (publication 24593)",
            fields: vmcb::fields().map(field).collect(),
            exits: EXITS.iter().map(exit).collect(),
            msrs: MSRS.iter().filter(|row| row.is_of_svm()).map(msr).collect(),
            cpuid: cpuid(),
            instructions: INSTRUCTIONS.iter().map(instruction).collect(),
            policies,
        }
    }
}

fn msr(msr: &Msr) -> MsrRow {
    MsrRow {
        name: msr.name,
        number: format!("{:#010x}", msr.number),
        meaning: msr.meaning,
        bits: tiled(msr.bits.iter().copied(), 64),
    }
}

fn instruction(instruction: &Instruction) -> InstructionRow {
    InstructionRow {
        mnemonic: instruction.mnemonic,
        opcode: bytes(instruction.opcode),
        operands: instruction.operands,
        meaning: instruction.meaning,
        privilege: instruction.privilege,
        exit: instruction.exit.exit().apm,
        needs: instruction.feature.name,
        section: instruction.section,
    }
}

fn bytes(opcode: &[u8]) -> String {
    let bytes: Vec<_> = opcode.iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(" ")
}

/// A number of so many bytes, in hexadecimal.
pub fn hex(value: u128, bytes: usize) -> String {
    format!("{value:#0width$x}", width = 2 + 2 * bytes)
}

/// The row of a field.
fn field(field: &Field) -> FieldRow {
    let is_control = field.offset < 0x400;
    let has_register = !is_control && !field.is_reserved() && field.bytes <= 16;
    FieldRow {
        name: field.name,
        area: if is_control { "control" } else { "save" },
        offset: field.offset,
        bytes: field.bytes,
        reserved: field.is_reserved(),
        meaning: field.meaning,
        reset: has_register.then(|| hex(field.reset, field.bytes)),
        demands: field.demands().collect(),
        written_by: field.flow.written_by(),
        read_by: field.flow.read_by(),
        needs: field.feature.map(|feature| feature.name),
        section: field.section,
        bits: tiled(field.named_bits(), field.bytes * 8),
    }
}

/// Named bits with the reserved ones between them, from the lowest; empty if none has a name.
pub fn tiled(bits: impl Iterator<Item = Bits>, width: usize) -> Vec<BitsRow> {
    let mut rows: Vec<BitsRow> = Vec::new();
    let mut next = 0;
    for bits in bits {
        rows.extend(reserved(next, usize::from(bits.low)));
        next = usize::from(bits.high) + 1;
        rows.push(BitsRow {
            name: Some(bits.name),
            high: bits.high,
            low: bits.low,
            meaning: bits.meaning,
            values: bits.values.to_vec(),
            needs: bits.feature.map(|feature| feature.name),
        });
    }
    if !rows.is_empty() {
        rows.extend(reserved(next, width));
    }
    rows
}

fn reserved(from: usize, to: usize) -> Option<BitsRow> {
    let high = to.checked_sub(1).filter(|high| *high >= from)?;
    Some(BitsRow {
        name: None,
        high: u8::try_from(high).ok()?,
        low: u8::try_from(from).ok()?,
        meaning: "Reserved",
        values: Vec::new(),
        needs: None,
    })
}

fn exit(exit: &Exit) -> ExitRow {
    let [info1_bits, info2_bits] = info_bits(exit.code);
    let place = match exit.intercept {
        Intercept::Bit { offset, bit } => {
            vmcb::fields().find_map(|field| Some((field, field.bit_of(offset, bit)?)))
        }
        _ => None,
    };
    ExitRow {
        code: code(exit),
        name: exit.name,
        apm: exit.apm,
        cause: match (exit.intercept, place) {
            (_, Some((field, bit))) => {
                format!("{} ({:03X}h) bit {bit}", field.name, field.offset)
            }
            (Intercept::NestedPaging, _) => "nested paging".to_owned(),
            (Intercept::Avic, _) => "AVIC".to_owned(),
            (Intercept::EncryptedState, _) => "encrypted guest state".to_owned(),
            (Intercept::Vmrun | Intercept::Bit { .. }, _) => "VMRUN itself".to_owned(),
        },
        field: place.map(|(field, _)| field.name),
        bit: place.map(|(_, bit)| bit),
        trigger: exit.trigger,
        info1: exit.info1,
        info2: exit.info2,
        info1_bits: tiled(info1_bits.iter().copied(), 64),
        info2_bits: tiled(info2_bits.iter().copied(), 64),
        rip: rip(exit),
        actions: Action::ALL
            .into_iter()
            .filter(|action| exit.accepts(*action))
            .map(Action::name)
            .collect(),
        unasked: exit.default.name(),
        belongs_to: owner(exit.owner),
        needs: exit.feature.map(|feature| feature.name),
        section: exit.section,
    }
}

/// The code of an exit; -1 and -2 as the signed numbers that they are.
pub fn code(exit: &Exit) -> String {
    match exit.code as i64 {
        negative @ ..0 => negative.to_string(),
        code => format!("{code:#x}"),
    }
}

/// Where RIP points after an exit, and how it gets behind the instruction.
pub fn rip(exit: &Exit) -> String {
    let points = match exit.timing {
        Timing::Fault => "at the instruction",
        Timing::Trap => "behind the instruction",
        Timing::Event => "between instructions",
    };
    let advance = match exit.advance {
        Advance::Opcode(bytes) => {
            format!("; moved by nRIP, else by prefixes and {bytes} opcode bytes")
        }
        Advance::Decode => "; moved by nRIP, else by the decoder".to_owned(),
        Advance::ExitInfo2 => "; the next one is in EXITINFO2".to_owned(),
        Advance::Stay => String::new(),
    };
    format!("{points}{advance}")
}

/// Whom an exit belongs to.
pub fn owner(owner: Owner) -> &'static str {
    match owner {
        Owner::Policy => "the policy alone",
        Owner::Floor => "the isolation floor: always intercepted",
        Owner::Vmm => "the VMM, for interrupts",
        Owner::NestedPaging => "nested paging",
        Owner::ShadowPaging => "shadow paging",
    }
}

fn cpuid() -> Vec<CpuidRow> {
    let number = |name, high, meaning| Bits {
        name,
        high,
        low: 0,
        meaning,
        values: &[],
        feature: None,
    };
    let features = |register| {
        let of_register =
            move |feature: &&Feature| feature.leaf == 0x8000_000a && feature.register == register;
        let bits = FEATURES
            .iter()
            .filter(of_register)
            .map(move |feature| Bits {
                low: feature.bit,
                ..number(feature.name, feature.bit, feature.meaning)
            });
        tiled(bits, 32)
    };
    let row = |register, meaning, bits| CpuidRow {
        register,
        meaning,
        bits,
    };
    vec![
        row(
            "EAX",
            "Revision",
            tiled([number("SvmRev", 7, "Revision of SVM")].into_iter(), 32),
        ),
        row(
            "EBX",
            "Address spaces",
            tiled(
                [number(
                    "NASID",
                    31,
                    "How many ASIDs there are, the host's 0 included",
                )]
                .into_iter(),
                32,
            ),
        ),
        row("ECX", "Features", features(Register::Ecx)),
        row("EDX", "Features", features(Register::Edx)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_the_fields_tile_all_4096_bytes_and_their_bits_every_bit() {
        let reference = Reference::new(Vec::new());
        let mut next = 0;
        for field in &reference.fields {
            assert_eq!(field.offset, next, "{}", field.name);
            next += field.bytes;
            if field.bits.is_empty() {
                continue;
            }
            let mut bit = 0;
            for bits in &field.bits {
                assert_eq!(usize::from(bits.low), bit, "{}", field.name);
                bit = usize::from(bits.high) + 1;
            }
            assert_eq!(bit, field.bytes * 8, "{}", field.name);
        }
        assert_eq!(next, 4096);
    }

    #[test]
    fn every_intercept_leads_to_its_field_and_back() {
        let reference = Reference::new(Vec::new());
        let mut bits = 0;
        for exit in &reference.exits {
            let (Some(name), Some(bit)) = (exit.field, exit.bit) else {
                continue;
            };
            bits += 1;
            let field = reference.fields.iter().find(|field| field.name == name);
            let row = field.and_then(|field| field.bits.iter().find(|bits| bits.low == bit));
            assert_eq!(row.and_then(|row| row.name), Some(exit.name));
        }
        assert!(bits > 150, "{bits}");
    }
}

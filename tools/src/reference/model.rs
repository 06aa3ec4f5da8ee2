//! What the reference says, as data: tables of the vocabulary, and policies laid over them.
//!
//! Numbers that may not fit a double are strings, in hexadecimal with `0x`.

use intercepts::info::info_bits;
use intercepts::vmcb::{self, Field};
use intercepts::{
    Action, Advance, Bits, EXITS, Exit, FEATURES, Feature, INSTRUCTIONS, Intercept, MSRS, Owner,
    Register, Timing,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::overlay::PolicyView;

/// The whole reference.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Reference {
    /// The document that the facts and section numbers are from.
    pub source: &'static str,
    /// The VMCB: fields and reserved ranges, which tile its 4096 bytes.
    pub fields: Vec<FieldRow>,
    /// Every #VMEXIT, by code.
    pub exits: Vec<ExitRow>,
    /// The MSRs that SVM brought.
    pub msrs: Vec<MsrRow>,
    /// CPUID leaf 8000_000Ah, register by register.
    pub cpuid: Vec<CpuidRow>,
    /// The instructions of SVM.
    pub instructions: Vec<InstructionRow>,
    /// The policies that are laid over it.
    pub policies: Vec<PolicyView>,
}

/// A field of the VMCB, or a reserved range.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FieldRow {
    /// The name.
    pub name: &'static str,
    /// `control` or `save`.
    pub area: &'static str,
    /// Offset from the start of the VMCB, in bytes.
    pub offset: usize,
    /// Size in bytes.
    pub bytes: usize,
    /// Nobody uses it: it must be zero.
    pub reserved: bool,
    /// What it holds.
    pub meaning: &'static str,
    /// What the register behind it holds after a reset; none for the control area, and for a
    /// range of registers.
    pub reset: Option<String>,
    /// What VMRUN demands.
    pub demands: Vec<&'static str>,
    /// Who writes it.
    pub written_by: &'static str,
    /// Who reads it.
    pub read_by: &'static str,
    /// The CPU feature without which it is reserved.
    pub needs: Option<&'static str>,
    /// Section of the APM.
    pub section: &'static str,
    /// Its bits, the reserved ones too; empty for a plain number or an address.
    pub bits: Vec<BitsRow>,
}

/// A bit, or a group of bits.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BitsRow {
    /// The name; none for reserved bits.
    pub name: Option<&'static str>,
    /// The highest bit.
    pub high: u8,
    /// The lowest bit.
    pub low: u8,
    /// What it means.
    pub meaning: &'static str,
    /// What its values stand for.
    pub values: Vec<(u64, &'static str)>,
    /// The CPU feature without which it is reserved.
    pub needs: Option<&'static str>,
}

/// A #VMEXIT.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExitRow {
    /// EXITCODE.
    pub code: String,
    /// The name in vm.toml.
    pub name: &'static str,
    /// The manual's name.
    pub apm: &'static str,
    /// What makes the CPU take it: a bit of a field, or what else.
    pub cause: String,
    /// The field with its intercept bit.
    pub field: Option<&'static str>,
    /// The bit in that field.
    pub bit: Option<u8>,
    /// What the guest does to cause it.
    pub trigger: &'static str,
    /// What EXITINFO1 holds.
    pub info1: &'static str,
    /// What EXITINFO2 holds.
    pub info2: &'static str,
    /// The bits of EXITINFO1, if it has some.
    pub info1_bits: Vec<BitsRow>,
    /// The bits of EXITINFO2, if it has some.
    pub info2_bits: Vec<BitsRow>,
    /// Where RIP points, and how it moves on.
    pub rip: String,
    /// The actions that fit.
    pub actions: Vec<&'static str>,
    /// What a policy that does not mention it gets.
    pub unasked: &'static str,
    /// Whom the exit belongs to.
    pub belongs_to: &'static str,
    /// The CPU feature without which it never happens.
    pub needs: Option<&'static str>,
    /// Section of the APM.
    pub section: &'static str,
}

/// An MSR.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MsrRow {
    /// The name in vm.toml.
    pub name: &'static str,
    /// The number.
    pub number: String,
    /// What it is.
    pub meaning: &'static str,
    /// Its bits.
    pub bits: Vec<BitsRow>,
}

/// A register of CPUID leaf 8000_000Ah.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CpuidRow {
    /// The register.
    pub register: &'static str,
    /// What it holds.
    pub meaning: &'static str,
    /// Its bits.
    pub bits: Vec<BitsRow>,
}

/// An instruction.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InstructionRow {
    /// The mnemonic.
    pub mnemonic: &'static str,
    /// Its bytes, in hexadecimal.
    pub opcode: String,
    /// The registers that it works with.
    pub operands: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// Where it may be executed.
    pub privilege: &'static str,
    /// The exit that it causes, intercepted.
    pub exit: &'static str,
    /// The CPU feature that brings it.
    pub needs: &'static str,
    /// Section of the APM.
    pub section: &'static str,
}

impl Reference {
    /// The vocabulary, with these policies laid over it.
    pub fn new(policies: Vec<PolicyView>) -> Reference {
        Reference {
            source: "AMD64 Architecture Programmer's Manual, volume 2 (publication 24593)",
            fields: vmcb::fields().map(field).collect(),
            exits: EXITS.iter().map(exit).collect(),
            msrs: MSRS
                .iter()
                .filter(|msr| msr.is_of_svm())
                .map(|msr| MsrRow {
                    name: msr.name,
                    number: format!("{:#010x}", msr.number),
                    meaning: msr.meaning,
                    bits: tiled(msr.bits.iter().copied(), 64),
                })
                .collect(),
            cpuid: cpuid(),
            instructions: INSTRUCTIONS
                .iter()
                .map(|instruction| InstructionRow {
                    mnemonic: instruction.mnemonic,
                    opcode: bytes(instruction.opcode),
                    operands: instruction.operands,
                    meaning: instruction.meaning,
                    privilege: instruction.privilege,
                    exit: instruction.exit.exit().apm,
                    needs: instruction.feature.name,
                    section: instruction.section,
                })
                .collect(),
            policies,
        }
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

//! What the reference says, as data: tables of the vocabulary, and policies laid over them.
//!
//! Numbers that may not fit a double are strings, in hexadecimal with `0x`.

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

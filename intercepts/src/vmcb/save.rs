//! The save area: 400h-FFFh (APM table B-2). Offsets below are within the area.

use super::{area, registers};
use crate::Feature;

/// A segment register with its hidden part, as VMRUN loads it (APM 15.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Segment {
    /// The selector.
    pub selector: u16,
    /// Descriptor bits 55:52 (G, D, L, AVL) in 11:8 and 47:40 (P, DPL, S, type) in 7:0.
    pub attributes: u16,
    /// The limit, in bytes, with granularity applied.
    pub limit: u32,
    /// The base.
    pub base: u64,
}

/// The 16 bytes of a segment register, as a number.
const fn segment(selector: u16, attributes: u16, limit: u32, base: u64) -> u128 {
    selector as u128 | (attributes as u128) << 16 | (limit as u128) << 32 | (base as u128) << 64
}

area! {
    /// The state-save area of the VMCB.
    Save at 0x400, 0xc00 bytes, fields "appendix B";
    0x000 es: Segment, Exchange, "Extra segment", reset segment(0, 0x93, 0xffff, 0), bits registers::segment::BITS;
    0x010 cs: Segment, Exchange, "Code segment", reset segment(0xf000, 0x9b, 0xffff, 0xffff_0000), bits registers::segment::BITS;
    0x020 ss: Segment, Exchange, "Stack segment", reset segment(0, 0x93, 0xffff, 0), bits registers::segment::BITS;
    0x030 ds: Segment, Exchange, "Data segment", reset segment(0, 0x93, 0xffff, 0), bits registers::segment::BITS;
    0x040 fs: Segment, Carried, "FS segment", reset segment(0, 0x93, 0xffff, 0), bits registers::segment::BITS;
    0x050 gs: Segment, Carried, "GS segment", reset segment(0, 0x93, 0xffff, 0), bits registers::segment::BITS;
    0x060 gdtr: Segment, Exchange, "GDTR: base and limit", reset segment(0, 0, 0xffff, 0), bits registers::table::BITS;
    0x070 ldtr: Segment, Carried, "Local descriptor table", reset segment(0, 0x82, 0xffff, 0), bits registers::segment::BITS;
    0x080 idtr: Segment, Exchange, "IDTR: base and limit", reset segment(0, 0, 0xffff, 0), bits registers::table::BITS;
    0x090 tr: Segment, Carried, "Task state segment", reset segment(0, 0x8b, 0xffff, 0), bits registers::segment::BITS;
    0x0a0 reserved_4a0: [u8; 0x2a], Reserved, "Reserved";
    0x0ca vmpl: u8, Exchange, "Privilege level of the VM's software", bits registers::vmpl::BITS, needs SEV_SNP;
    0x0cb cpl: u8, Exchange, "Current privilege level", bits registers::cpl::BITS;
    0x0cc reserved_4cc: [u8; 4], Reserved, "Reserved";
    0x0d0 efer: u64, Exchange, "EFER; SVME must be 1", bits registers::efer::BITS;
    0x0d8 reserved_4d8: [u8; 0x70], Reserved, "Reserved";
    0x148 cr4: u64, Exchange, "Control register 4", bits registers::cr4::BITS;
    0x150 cr3: u64, Exchange, "Control register 3: the page tables", bits registers::cr3::BITS;
    0x158 cr0: u64, Exchange, "Control register 0", reset 0x6000_0010, bits registers::cr0::BITS;
    0x160 dr7: u64, Exchange, "Debug control", reset 0x400, bits registers::dr7::BITS;
    0x168 dr6: u64, Exchange, "Debug status", reset 0xffff_0ff0, bits registers::dr6::BITS;
    0x170 rflags: u64, Exchange, "Flags", reset 2, bits registers::rflags::BITS;
    0x178 rip: u64, Exchange, "Instruction pointer", reset 0xfff0;
    0x180 reserved_580: [u8; 0x58], Reserved, "Reserved";
    0x1d8 rsp: u64, Exchange, "Stack pointer";
    0x1e0 s_cet: u64, Exchange, "S_CET: shadow-stack control of the supervisor", bits registers::s_cet::BITS;
    0x1e8 ssp: u64, Exchange, "SSP: shadow-stack pointer";
    0x1f0 isst_addr: u64, Exchange, "Interrupt shadow-stack table";
    0x1f8 rax: u64, Exchange, "RAX; the other general-purpose registers are the VMM's to switch";
    0x200 star: u64, Carried, "SYSCALL segments and legacy target";
    0x208 lstar: u64, Carried, "SYSCALL target in long mode";
    0x210 cstar: u64, Carried, "SYSCALL target in compatibility mode";
    0x218 sfmask: u64, Carried, "SYSCALL flag mask";
    0x220 kernel_gs_base: u64, Carried, "GS base that SWAPGS brings";
    0x228 sysenter_cs: u64, Carried, "SYSENTER code segment";
    0x230 sysenter_esp: u64, Carried, "SYSENTER stack pointer";
    0x238 sysenter_eip: u64, Carried, "SYSENTER entry point";
    0x240 cr2: u64, Exchange, "Linear address of the last page fault";
    0x248 reserved_648: [u8; 0x20], Reserved, "Reserved";
    0x268 g_pat: u64, Exchange, "G_PAT: the guest's PAT", reset 0x0007_0406_0007_0406, bits registers::pat::BITS, needs NPT;
    0x270 dbgctl: u64, Exchange, "DebugCtl", bits registers::dbgctl::BITS, needs LBR_VIRT;
    0x278 br_from: u64, Exchange, "Last branch, from", needs LBR_VIRT;
    0x280 br_to: u64, Exchange, "Last branch, to", needs LBR_VIRT;
    0x288 last_excp_from: u64, Exchange, "Last exception, from", needs LBR_VIRT;
    0x290 last_excp_to: u64, Exchange, "Last exception, to", needs LBR_VIRT;
    0x298 reserved_698: [u8; 0x48], Reserved, "Reserved";
    0x2e0 spec_ctrl: u64, Exchange, "SPEC_CTRL of the guest", bits registers::spec_ctrl::BITS, needs SPEC_CTRL;
    0x2e8 reserved_6e8: [u8; 0x918], Reserved, "Reserved";
}

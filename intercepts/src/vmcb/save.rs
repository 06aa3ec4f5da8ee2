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
    0x0a0 reserved_4a0: [u8; 0x2b], Reserved, "Reserved";
    0x0cb cpl: u8, Exchange, "Current privilege level", bits registers::cpl::BITS;
    0x0cc reserved_4cc: [u8; 4], Reserved, "Reserved";
    0x0d0 efer: u64, Exchange, "EFER; SVME must be 1", bits registers::efer::BITS;
    0x0d8 reserved_4d8: [u8; 8], Reserved, "Reserved";
    0x0e0 perf_ctl0: u64, Exchange, "PERF_CTL0: what counter 0 counts", needs PMC_VIRT;
    0x0e8 perf_ctr0: u64, Exchange, "PERF_CTR0: counter 0", needs PMC_VIRT;
    0x0f0 perf_ctl1: u64, Exchange, "PERF_CTL1: what counter 1 counts", needs PMC_VIRT;
    0x0f8 perf_ctr1: u64, Exchange, "PERF_CTR1: counter 1", needs PMC_VIRT;
    0x100 perf_ctl2: u64, Exchange, "PERF_CTL2: what counter 2 counts", needs PMC_VIRT;
    0x108 perf_ctr2: u64, Exchange, "PERF_CTR2: counter 2", needs PMC_VIRT;
    0x110 perf_ctl3: u64, Exchange, "PERF_CTL3: what counter 3 counts", needs PMC_VIRT;
    0x118 perf_ctr3: u64, Exchange, "PERF_CTR3: counter 3", needs PMC_VIRT;
    0x120 perf_ctl4: u64, Exchange, "PERF_CTL4: what counter 4 counts", needs PMC_VIRT;
    0x128 perf_ctr4: u64, Exchange, "PERF_CTR4: counter 4", needs PMC_VIRT;
    0x130 perf_ctl5: u64, Exchange, "PERF_CTL5: what counter 5 counts", needs PMC_VIRT;
    0x138 perf_ctr5: u64, Exchange, "PERF_CTR5: counter 5", needs PMC_VIRT;
    0x140 reserved_540: [u8; 8], Reserved, "Reserved";
    0x148 cr4: u64, Exchange, "Control register 4", bits registers::cr4::BITS;
    0x150 cr3: u64, Exchange, "Control register 3: the page tables", bits registers::cr3::BITS;
    0x158 cr0: u64, Exchange, "Control register 0", reset 0x6000_0010, bits registers::cr0::BITS;
    0x160 dr7: u64, Exchange, "Debug control", reset 0x400, bits registers::dr7::BITS;
    0x168 dr6: u64, Exchange, "Debug status", reset 0xffff_0ff0, bits registers::dr6::BITS;
    0x170 rflags: u64, Exchange, "Flags", reset 2, bits registers::rflags::BITS;
    0x178 rip: u64, Exchange, "Instruction pointer", reset 0xfff0;
    0x180 reserved_580: [u8; 0x40], Reserved, "Reserved";
    0x1c0 instr_retired_ctr: u64, Exchange, "INSTR_RETIRED_CTR: instructions retired", needs PMC_VIRT;
    0x1c8 perf_ctr_global_sts: u64, Exchange, "PERF_CTR_GLOBAL_STS: which counters have overflowed", needs PMC_VIRT;
    0x1d0 perf_ctr_global_ctl: u32, Exchange, "PERF_CTR_GLOBAL_CTL: which counters count", needs PMC_VIRT;
    0x1d4 reserved_5d4: [u8; 4], Reserved, "Reserved";
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
    0x298 dbgextnctl: u64, Exchange, "DBGEXTNCTL: DebugExtnCtl, control of the last-branch stack", needs LBR_STACK;
    0x2a0 reserved_6a0: [u8; 0x40], Reserved, "Reserved";
    0x2e0 spec_ctrl: u64, Exchange, "SPEC_CTRL of the guest", bits registers::spec_ctrl::BITS, needs SPEC_CTRL;
    0x2e8 reserved_6e8: [u8; 0x388], Reserved, "Reserved";
    0x670 lbr_stack: [u8; 0x100], Exchange, "LBR_STACK_FROM and LBR_STACK_TO: the last-branch stack, in the order of its MSRs", needs LBR_STACK;
    0x770 lbr_select: u64, Exchange, "LBR_SELECT: which branches the stack records", needs LBR_STACK;
    0x778 ibs_fetch_ctl: u64, Exchange, "IBS_FETCH_CTL: control of fetch sampling", needs IBS_VIRT;
    0x780 ibs_fetch_linaddr: u64, Exchange, "IBS_FETCH_LINADDR: linear address of the sampled fetch", needs IBS_VIRT;
    0x788 ibs_op_ctl: u64, Exchange, "IBS_OP_CTL: control of operation sampling", needs IBS_VIRT;
    0x790 ibs_op_rip: u64, Exchange, "IBS_OP_RIP: RIP of the sampled operation", needs IBS_VIRT;
    0x798 ibs_op_data: u64, Exchange, "IBS_OP_DATA: what the operation did, first part", needs IBS_VIRT;
    0x7a0 ibs_op_data2: u64, Exchange, "IBS_OP_DATA2: the second part", needs IBS_VIRT;
    0x7a8 ibs_op_data3: u64, Exchange, "IBS_OP_DATA3: the third part", needs IBS_VIRT;
    0x7b0 ibs_dc_linaddr: u64, Exchange, "IBS_DC_LINADDR: linear address of the data", needs IBS_VIRT;
    0x7b8 bp_ibstgt_rip: u64, Exchange, "BP_IBSTGT_RIP: target of the sampled branch", needs IBS_VIRT;
    0x7c0 ic_ibs_extd_ctl: u64, Exchange, "IC_IBS_EXTD_CTL: extended control of fetch sampling", needs IBS_VIRT;
    0x7c8 reserved_bc8: [u8; 0x438], Reserved, "Reserved";
}

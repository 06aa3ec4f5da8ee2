//! The save area: 400h-FFFh (APM table B-2). Offsets below are within the area.

use super::area;

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

area! {
    /// The state-save area of the VMCB.
    Save at 0x400, 0xc00 bytes;
    0x000 es: Segment, "ES";
    0x010 cs: Segment, "CS";
    0x020 ss: Segment, "SS";
    0x030 ds: Segment, "DS";
    0x040 fs: Segment, "FS; VMLOAD and VMSAVE carry it";
    0x050 gs: Segment, "GS; VMLOAD and VMSAVE carry it";
    0x060 gdtr: Segment, "GDTR: base and limit";
    0x070 ldtr: Segment, "LDTR; VMLOAD and VMSAVE carry it";
    0x080 idtr: Segment, "IDTR: base and limit";
    0x090 tr: Segment, "TR; VMLOAD and VMSAVE carry it";
    0x0a0 reserved_4a0: [u8; 0x2b], "Reserved";
    0x0cb cpl: u8, "Current privilege level";
    0x0cc reserved_4cc: [u8; 4], "Reserved";
    0x0d0 efer: u64, "EFER; SVME must be 1";
    0x0d8 reserved_4d8: [u8; 0x70], "Reserved";
    0x148 cr4: u64, "CR4";
    0x150 cr3: u64, "CR3";
    0x158 cr0: u64, "CR0";
    0x160 dr7: u64, "DR7";
    0x168 dr6: u64, "DR6";
    0x170 rflags: u64, "RFLAGS";
    0x178 rip: u64, "RIP";
    0x180 reserved_580: [u8; 0x58], "Reserved";
    0x1d8 rsp: u64, "RSP";
    0x1e0 s_cet: u64, "S_CET: shadow-stack control of the supervisor";
    0x1e8 ssp: u64, "SSP: shadow-stack pointer";
    0x1f0 isst_addr: u64, "Interrupt shadow-stack table";
    0x1f8 rax: u64, "RAX";
    0x200 star: u64, "STAR; VMLOAD and VMSAVE carry it";
    0x208 lstar: u64, "LSTAR; VMLOAD and VMSAVE carry it";
    0x210 cstar: u64, "CSTAR; VMLOAD and VMSAVE carry it";
    0x218 sfmask: u64, "SFMASK; VMLOAD and VMSAVE carry it";
    0x220 kernel_gs_base: u64, "KernelGSBase; VMLOAD and VMSAVE carry it";
    0x228 sysenter_cs: u64, "SYSENTER_CS; VMLOAD and VMSAVE carry it";
    0x230 sysenter_esp: u64, "SYSENTER_ESP; VMLOAD and VMSAVE carry it";
    0x238 sysenter_eip: u64, "SYSENTER_EIP; VMLOAD and VMSAVE carry it";
    0x240 cr2: u64, "CR2";
    0x248 reserved_648: [u8; 0x20], "Reserved";
    0x268 g_pat: u64, "G_PAT: the guest's PAT, with nested paging";
    0x270 dbgctl: u64, "DBGCTL, with LBR virtualisation";
    0x278 br_from: u64, "Last branch, from; with LBR virtualisation";
    0x280 br_to: u64, "Last branch, to; with LBR virtualisation";
    0x288 last_excp_from: u64, "Last exception, from; with LBR virtualisation";
    0x290 last_excp_to: u64, "Last exception, to; with LBR virtualisation";
    0x298 reserved_698: [u8; 0x48], "Reserved";
    0x2e0 spec_ctrl: u64, "SPEC_CTRL of the guest, with its virtualisation";
    0x2e8 reserved_6e8: [u8; 0x918], "Reserved";
}

//! The table of every #VMEXIT (APM appendix C), from which the [`ExitCode`] enum is made.

use crate::exit::{Denial, Exit, Intercept, Owner};
use crate::row::*;
use crate::{Action, Actions, Feature};

/// Builds [`ExitCode`] and [`EXITS`] from one list.
macro_rules! exits {
    ($($variant:ident = $code:literal => $exit:expr;)*) => {
        /// EXITCODE: why the guest stopped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u64)]
        #[expect(missing_docs, reason = "each variant's documentation is its row in EXITS")]
        pub enum ExitCode {
            $($variant = $code,)*
        }

        /// Every exit, in the order of the codes.
        pub static EXITS: &[Exit] = &[$($exit.coded(ExitCode::$variant)),*];
    };
}

exits! {
    Cr0Read = 0x000 => cr_read("cr0.read", "VMEXIT_CR0_READ", 0);
    Cr1Read = 0x001 => cr_read("cr1.read", "VMEXIT_CR1_READ", 1);
    Cr2Read = 0x002 => cr_read("cr2.read", "VMEXIT_CR2_READ", 2);
    Cr3Read = 0x003 => cr_read("cr3.read", "VMEXIT_CR3_READ", 3);
    Cr4Read = 0x004 => cr_read("cr4.read", "VMEXIT_CR4_READ", 4);
    Cr5Read = 0x005 => cr_read("cr5.read", "VMEXIT_CR5_READ", 5);
    Cr6Read = 0x006 => cr_read("cr6.read", "VMEXIT_CR6_READ", 6);
    Cr7Read = 0x007 => cr_read("cr7.read", "VMEXIT_CR7_READ", 7);
    Cr8Read = 0x008 => cr_read("cr8.read", "VMEXIT_CR8_READ", 8);
    Cr9Read = 0x009 => cr_read("cr9.read", "VMEXIT_CR9_READ", 9);
    Cr10Read = 0x00a => cr_read("cr10.read", "VMEXIT_CR10_READ", 10);
    Cr11Read = 0x00b => cr_read("cr11.read", "VMEXIT_CR11_READ", 11);
    Cr12Read = 0x00c => cr_read("cr12.read", "VMEXIT_CR12_READ", 12);
    Cr13Read = 0x00d => cr_read("cr13.read", "VMEXIT_CR13_READ", 13);
    Cr14Read = 0x00e => cr_read("cr14.read", "VMEXIT_CR14_READ", 14);
    Cr15Read = 0x00f => cr_read("cr15.read", "VMEXIT_CR15_READ", 15);
    Cr0Write = 0x010 => cr_write("cr0.write", "VMEXIT_CR0_WRITE", 0);
    Cr1Write = 0x011 => cr_write("cr1.write", "VMEXIT_CR1_WRITE", 1);
    Cr2Write = 0x012 => cr_write("cr2.write", "VMEXIT_CR2_WRITE", 2);
    Cr3Write = 0x013 => cr_write("cr3.write", "VMEXIT_CR3_WRITE", 3);
    Cr4Write = 0x014 => cr_write("cr4.write", "VMEXIT_CR4_WRITE", 4);
    Cr5Write = 0x015 => cr_write("cr5.write", "VMEXIT_CR5_WRITE", 5);
    Cr6Write = 0x016 => cr_write("cr6.write", "VMEXIT_CR6_WRITE", 6);
    Cr7Write = 0x017 => cr_write("cr7.write", "VMEXIT_CR7_WRITE", 7);
    Cr8Write = 0x018 => cr_write("cr8.write", "VMEXIT_CR8_WRITE", 8);
    Cr9Write = 0x019 => cr_write("cr9.write", "VMEXIT_CR9_WRITE", 9);
    Cr10Write = 0x01a => cr_write("cr10.write", "VMEXIT_CR10_WRITE", 10);
    Cr11Write = 0x01b => cr_write("cr11.write", "VMEXIT_CR11_WRITE", 11);
    Cr12Write = 0x01c => cr_write("cr12.write", "VMEXIT_CR12_WRITE", 12);
    Cr13Write = 0x01d => cr_write("cr13.write", "VMEXIT_CR13_WRITE", 13);
    Cr14Write = 0x01e => cr_write("cr14.write", "VMEXIT_CR14_WRITE", 14);
    Cr15Write = 0x01f => cr_write("cr15.write", "VMEXIT_CR15_WRITE", 15);
    Dr0Read = 0x020 => dr_read("dr0.read", "VMEXIT_DR0_READ", 0);
    Dr1Read = 0x021 => dr_read("dr1.read", "VMEXIT_DR1_READ", 1);
    Dr2Read = 0x022 => dr_read("dr2.read", "VMEXIT_DR2_READ", 2);
    Dr3Read = 0x023 => dr_read("dr3.read", "VMEXIT_DR3_READ", 3);
    Dr4Read = 0x024 => dr_read("dr4.read", "VMEXIT_DR4_READ", 4);
    Dr5Read = 0x025 => dr_read("dr5.read", "VMEXIT_DR5_READ", 5);
    Dr6Read = 0x026 => dr_read("dr6.read", "VMEXIT_DR6_READ", 6);
    Dr7Read = 0x027 => dr_read("dr7.read", "VMEXIT_DR7_READ", 7);
    Dr8Read = 0x028 => dr_read("dr8.read", "VMEXIT_DR8_READ", 8);
    Dr9Read = 0x029 => dr_read("dr9.read", "VMEXIT_DR9_READ", 9);
    Dr10Read = 0x02a => dr_read("dr10.read", "VMEXIT_DR10_READ", 10);
    Dr11Read = 0x02b => dr_read("dr11.read", "VMEXIT_DR11_READ", 11);
    Dr12Read = 0x02c => dr_read("dr12.read", "VMEXIT_DR12_READ", 12);
    Dr13Read = 0x02d => dr_read("dr13.read", "VMEXIT_DR13_READ", 13);
    Dr14Read = 0x02e => dr_read("dr14.read", "VMEXIT_DR14_READ", 14);
    Dr15Read = 0x02f => dr_read("dr15.read", "VMEXIT_DR15_READ", 15);
    Dr0Write = 0x030 => dr_write("dr0.write", "VMEXIT_DR0_WRITE", 0);
    Dr1Write = 0x031 => dr_write("dr1.write", "VMEXIT_DR1_WRITE", 1);
    Dr2Write = 0x032 => dr_write("dr2.write", "VMEXIT_DR2_WRITE", 2);
    Dr3Write = 0x033 => dr_write("dr3.write", "VMEXIT_DR3_WRITE", 3);
    Dr4Write = 0x034 => dr_write("dr4.write", "VMEXIT_DR4_WRITE", 4);
    Dr5Write = 0x035 => dr_write("dr5.write", "VMEXIT_DR5_WRITE", 5);
    Dr6Write = 0x036 => dr_write("dr6.write", "VMEXIT_DR6_WRITE", 6);
    Dr7Write = 0x037 => dr_write("dr7.write", "VMEXIT_DR7_WRITE", 7);
    Dr8Write = 0x038 => dr_write("dr8.write", "VMEXIT_DR8_WRITE", 8);
    Dr9Write = 0x039 => dr_write("dr9.write", "VMEXIT_DR9_WRITE", 9);
    Dr10Write = 0x03a => dr_write("dr10.write", "VMEXIT_DR10_WRITE", 10);
    Dr11Write = 0x03b => dr_write("dr11.write", "VMEXIT_DR11_WRITE", 11);
    Dr12Write = 0x03c => dr_write("dr12.write", "VMEXIT_DR12_WRITE", 12);
    Dr13Write = 0x03d => dr_write("dr13.write", "VMEXIT_DR13_WRITE", 13);
    Dr14Write = 0x03e => dr_write("dr14.write", "VMEXIT_DR14_WRITE", 14);
    Dr15Write = 0x03f => dr_write("dr15.write", "VMEXIT_DR15_WRITE", 15);
    ExceptionDe = 0x040 => exception("exception.de", "VMEXIT_EXCP0", 0);
    ExceptionDb = 0x041 => exception("exception.db", "VMEXIT_EXCP1", 1).floor(Action::Count);
    ExceptionNmi = 0x042 => exception("exception.nmi", "VMEXIT_EXCP2", 2)
        .trigger("nothing that is defined (APM 15.12.3); `nmi` is the intercept of NMIs");
    ExceptionBp = 0x043 => exception("exception.bp", "VMEXIT_EXCP3", 3);
    ExceptionOf = 0x044 => exception("exception.of", "VMEXIT_EXCP4", 4);
    ExceptionBr = 0x045 => exception("exception.br", "VMEXIT_EXCP5", 5);
    ExceptionUd = 0x046 => exception("exception.ud", "VMEXIT_EXCP6", 6);
    ExceptionNm = 0x047 => exception("exception.nm", "VMEXIT_EXCP7", 7);
    ExceptionDf = 0x048 => exception("exception.df", "VMEXIT_EXCP8", 8);
    Exception9 = 0x049 => exception("exception.9", "VMEXIT_EXCP9", 9)
        .trigger("nothing that is defined: the vector is reserved (APM 15.12.10)");
    ExceptionTs = 0x04a => exception("exception.ts", "VMEXIT_EXCP10", 10);
    ExceptionNp = 0x04b => exception("exception.np", "VMEXIT_EXCP11", 11);
    ExceptionSs = 0x04c => exception("exception.ss", "VMEXIT_EXCP12", 12);
    ExceptionGp = 0x04d => exception("exception.gp", "VMEXIT_EXCP13", 13);
    ExceptionPf = 0x04e => exception("exception.pf", "VMEXIT_EXCP14", 14)
        .infos("the page fault's error code (APM 8.4.2)", "the faulting linear address");
    Exception15 = 0x04f => exception("exception.15", "VMEXIT_EXCP15", 15);
    ExceptionMf = 0x050 => exception("exception.mf", "VMEXIT_EXCP16", 16);
    ExceptionAc = 0x051 => exception("exception.ac", "VMEXIT_EXCP17", 17).floor(Action::Count);
    ExceptionMc = 0x052 => exception("exception.mc", "VMEXIT_EXCP18", 18).no_method()
        .floor(Action::Stop);
    ExceptionXf = 0x053 => exception("exception.xf", "VMEXIT_EXCP19", 19);
    Exception20 = 0x054 => exception("exception.20", "VMEXIT_EXCP20", 20);
    ExceptionCp = 0x055 => exception("exception.cp", "VMEXIT_EXCP21", 21);
    Exception22 = 0x056 => exception("exception.22", "VMEXIT_EXCP22", 22);
    Exception23 = 0x057 => exception("exception.23", "VMEXIT_EXCP23", 23);
    Exception24 = 0x058 => exception("exception.24", "VMEXIT_EXCP24", 24);
    Exception25 = 0x059 => exception("exception.25", "VMEXIT_EXCP25", 25);
    Exception26 = 0x05a => exception("exception.26", "VMEXIT_EXCP26", 26);
    Exception27 = 0x05b => exception("exception.27", "VMEXIT_EXCP27", 27);
    ExceptionHv = 0x05c => exception("exception.hv", "VMEXIT_EXCP28", 28);
    ExceptionVc = 0x05d => exception("exception.vc", "VMEXIT_EXCP29", 29);
    ExceptionSx = 0x05e => exception("exception.sx", "VMEXIT_EXCP30", 30);
    Exception31 = 0x05f => exception("exception.31", "VMEXIT_EXCP31", 31);
    Intr = 0x060 => event("intr", "VMEXIT_INTR", MISC1, 0, "interrupt")
        .trigger("a physical maskable interrupt").owned(Owner::Floor, Action::Emulate)
        .section("15.13.1");
    Nmi = 0x061 => event("nmi", "VMEXIT_NMI", MISC1, 1, "interrupt")
        .trigger("a physical non-maskable interrupt").owned(Owner::Floor, Action::Emulate)
        .section("15.13.2");
    Smi = 0x062 => event("smi", "VMEXIT_SMI", MISC1, 2, "interrupt")
        .trigger("a system-management interrupt")
        .infos("its source, and the access of the I/O instruction that it interrupted",
            "the RIP of that I/O instruction")
        .fits(Actions::PASS.union(Actions::EMULATE)).section("15.13.3");
    Init = 0x063 => event("init", "VMEXIT_INIT", MISC1, 3, "interrupt").trigger("the INIT signal")
        .fits(Actions::STOP).floor(Action::Stop).section("15.13.4");
    Vintr = 0x064 => event("vintr", "VMEXIT_VINTR", MISC1, 4, "interrupt")
        .trigger("the guest is about to take a virtual interrupt")
        .owned(Owner::Vmm, Action::Emulate).section("15.13.5");
    Cr0SelWrite = 0x065 => step("cr0.sel-write", "VMEXIT_CR0_SEL_WRITE", MISC1, 5)
        .trigger("MOV to CR0 or LMSW that changes a bit other than TS or MP").section("15.8.1");
    IdtrRead = 0x066 => step("idtr.read", "VMEXIT_IDTR_READ", MISC1, 6).trigger("SIDT")
        .section("15.9");
    GdtrRead = 0x067 => step("gdtr.read", "VMEXIT_GDTR_READ", MISC1, 7).trigger("SGDT")
        .section("15.9");
    LdtrRead = 0x068 => step("ldtr.read", "VMEXIT_LDTR_READ", MISC1, 8).trigger("SLDT")
        .section("15.9");
    TrRead = 0x069 => step("tr.read", "VMEXIT_TR_READ", MISC1, 9).trigger("STR").section("15.9");
    IdtrWrite = 0x06a => step("idtr.write", "VMEXIT_IDTR_WRITE", MISC1, 10).trigger("LIDT")
        .section("15.9");
    GdtrWrite = 0x06b => step("gdtr.write", "VMEXIT_GDTR_WRITE", MISC1, 11).trigger("LGDT")
        .section("15.9");
    LdtrWrite = 0x06c => step("ldtr.write", "VMEXIT_LDTR_WRITE", MISC1, 12).trigger("LLDT")
        .section("15.9");
    TrWrite = 0x06d => step("tr.write", "VMEXIT_TR_WRITE", MISC1, 13).trigger("LTR")
        .section("15.9");
    Rdtsc = 0x06e => emulated("rdtsc", "VMEXIT_RDTSC", MISC1, 14, "tsc").opcode(2)
        .trigger("RDTSC").section("15.9");
    Rdpmc = 0x06f => step("rdpmc", "VMEXIT_RDPMC", MISC1, 15).denies(Denial::Gp).trigger("RDPMC")
        .section("15.9");
    Pushf = 0x070 => step("pushf", "VMEXIT_PUSHF", MISC1, 16).trigger("PUSHF, PUSHFD or PUSHFQ")
        .section("15.9");
    Popf = 0x071 => step("popf", "VMEXIT_POPF", MISC1, 17).trigger("POPF, POPFD or POPFQ")
        .section("15.9");
    Cpuid = 0x072 => emulated("cpuid", "VMEXIT_CPUID", MISC1, 18, "cpuid").opcode(2)
        .trigger("CPUID").section("15.9");
    Rsm = 0x073 => svm("rsm", "VMEXIT_RSM", MISC1, 19).opcode(2).trigger("RSM").section("15.9");
    Iret = 0x074 => step("iret", "VMEXIT_IRET", MISC1, 20).trigger("IRET, IRETD or IRETQ")
        .section("15.9");
    Swint = 0x075 => software_interrupt("swint", "VMEXIT_SWINT", MISC1, 21).trigger("INTn")
        .infos("bits 7:0: the vector, with decode assists", UNDEFINED).section("15.8.2");
    Invd = 0x076 => emulated("invd", "VMEXIT_INVD", MISC1, 22, "cache").opcode(2)
        .floor(Action::Emulate).trigger("INVD").section("15.9");
    Pause = 0x077 => emulated("pause", "VMEXIT_PAUSE", MISC1, 23, "pause").opcode(1)
        .trigger("PAUSE").section("15.14.4");
    Hlt = 0x078 => emulated("hlt", "VMEXIT_HLT", MISC1, 24, "hlt").opcode(1).waits()
        .trigger("HLT").section("15.9");
    Invlpg = 0x079 => step("invlpg", "VMEXIT_INVLPG", MISC1, 25).trigger("INVLPG")
        .infos("the linear address, with decode assists", UNDEFINED).section("15.8.3");
    Invlpga = 0x07a => svm("invlpga", "VMEXIT_INVLPGA", MISC1, 26).trigger("INVLPGA")
        .section("15.9");
    Ioio = 0x07b => mapped("ioio", "VMEXIT_IOIO", 27, "io", Denial::Float).next_rip_in_info2()
        .trigger("IN, OUT, INS or OUTS on a port whose bit is set in the I/O permission map")
        .infos("port, size, direction, string, REP (APM 15.10.2)", "the next RIP")
        .section("15.10");
    Msr = 0x07c => mapped("msr", "VMEXIT_MSR", 28, "msr", Denial::Gp).opcode(2)
        .trigger("RDMSR or WRMSR of a register whose bit is set in the MSR permission map")
        .infos("0 for RDMSR, 1 for WRMSR", UNDEFINED).section("15.11");
    TaskSwitch = 0x07d => emulated("task-switch", "VMEXIT_TASK_SWITCH", MISC1, 29, "task")
        .floor(Action::Emulate).denies(Denial::None)
        .fits(Actions::EMULATE.union(Actions::COUNT).union(Actions::LOG).union(Actions::STOP))
        .trigger("a hardware task switch: JMP, CALL, IRET, or an event through a task gate")
        .infos("selector of the new TSS", "what caused it, its error code, and EFLAGS.RF")
        .section("15.14.1");
    FerrFreeze = 0x07e => event("ferr-freeze", "VMEXIT_FERR_FREEZE", MISC1, 30, "interrupt")
        .owned(Owner::Floor, Action::Emulate)
        .trigger("the processor freezes for a legacy x87 error").section("15.14.2");
    Shutdown = 0x07f => event("shutdown", "VMEXIT_SHUTDOWN", MISC1, 31, "stop")
        .fits(Actions::STOP).floor(Action::Stop)
        .trigger("a triple fault or another shutdown condition").section("15.14.3");
    Vmrun = 0x080 => svm("vmrun", "VMEXIT_VMRUN", MISC2, 0).trigger("VMRUN").section("15.9");
    Vmmcall = 0x081 => svm("vmmcall", "VMEXIT_VMMCALL", MISC2, 1).hypercall().trigger("VMMCALL")
        .section("15.9");
    Vmload = 0x082 => svm("vmload", "VMEXIT_VMLOAD", MISC2, 2).trigger("VMLOAD").section("15.9");
    Vmsave = 0x083 => svm("vmsave", "VMEXIT_VMSAVE", MISC2, 3).trigger("VMSAVE").section("15.9");
    Stgi = 0x084 => svm("stgi", "VMEXIT_STGI", MISC2, 4).trigger("STGI").section("15.9");
    Clgi = 0x085 => svm("clgi", "VMEXIT_CLGI", MISC2, 5).trigger("CLGI").section("15.9");
    Skinit = 0x086 => svm("skinit", "VMEXIT_SKINIT", MISC2, 6).trigger("SKINIT").section("15.9");
    Rdtscp = 0x087 => emulated("rdtscp", "VMEXIT_RDTSCP", MISC2, 7, "tsc").opcode(3)
        .needs(Feature::RDTSCP).trigger("RDTSCP").section("15.9");
    Icebp = 0x088 => emulated("icebp", "VMEXIT_ICEBP", MISC2, 8, "icebp").opcode(1)
        .trigger("ICEBP (INT1, opcode F1h)").section("15.9");
    Wbinvd = 0x089 => emulated("wbinvd", "VMEXIT_WBINVD", MISC2, 9, "cache").opcode(2)
        .trigger("WBINVD or WBNOINVD").section("15.9");
    Monitor = 0x08a => emulated("monitor", "VMEXIT_MONITOR", MISC2, 10, "monitor").opcode(3)
        .needs(Feature::MONITOR).trigger("MONITOR").section("15.9");
    Mwait = 0x08b => emulated("mwait", "VMEXIT_MWAIT", MISC2, 11, "mwait").opcode(3).waits()
        .needs(Feature::MONITOR).trigger("MWAIT").section("15.9");
    MwaitConditional = 0x08c => emulated("mwait.armed", "VMEXIT_MWAIT_CONDITIONAL", MISC2, 12, "mwait")
        .opcode(3).waits().needs(Feature::MONITOR)
        .trigger("MWAIT while the monitor hardware is armed").section("15.9");
    Xsetbv = 0x08d => svm("xsetbv", "VMEXIT_XSETBV", MISC2, 13).needs(Feature::XSAVE)
        .trigger("XSETBV").section("15.9");
    Rdpru = 0x08e => step("rdpru", "VMEXIT_RDPRU", MISC2, 14).needs(Feature::RDPRU)
        .trigger("RDPRU").section("15.9");
    EferWriteTrap = 0x08f => write_trap("efer.write-trap", "VMEXIT_EFER_WRITE_TRAP", 15)
        .trigger("WRMSR to EFER, seen after it");
    Cr0WriteTrap = 0x090 => write_trap("cr0.write-trap", "VMEXIT_CR0_WRITE_TRAP", 16)
        .trigger("MOV to CR0, seen after it");
    Cr1WriteTrap = 0x091 => write_trap("cr1.write-trap", "VMEXIT_CR1_WRITE_TRAP", 17)
        .trigger("MOV to CR1, seen after it");
    Cr2WriteTrap = 0x092 => write_trap("cr2.write-trap", "VMEXIT_CR2_WRITE_TRAP", 18)
        .trigger("MOV to CR2, seen after it");
    Cr3WriteTrap = 0x093 => write_trap("cr3.write-trap", "VMEXIT_CR3_WRITE_TRAP", 19)
        .trigger("MOV to CR3, seen after it");
    Cr4WriteTrap = 0x094 => write_trap("cr4.write-trap", "VMEXIT_CR4_WRITE_TRAP", 20)
        .trigger("MOV to CR4, seen after it");
    Cr5WriteTrap = 0x095 => write_trap("cr5.write-trap", "VMEXIT_CR5_WRITE_TRAP", 21)
        .trigger("MOV to CR5, seen after it");
    Cr6WriteTrap = 0x096 => write_trap("cr6.write-trap", "VMEXIT_CR6_WRITE_TRAP", 22)
        .trigger("MOV to CR6, seen after it");
    Cr7WriteTrap = 0x097 => write_trap("cr7.write-trap", "VMEXIT_CR7_WRITE_TRAP", 23)
        .trigger("MOV to CR7, seen after it");
    Cr8WriteTrap = 0x098 => write_trap("cr8.write-trap", "VMEXIT_CR8_WRITE_TRAP", 24)
        .trigger("MOV to CR8, seen after it");
    Cr9WriteTrap = 0x099 => write_trap("cr9.write-trap", "VMEXIT_CR9_WRITE_TRAP", 25)
        .trigger("MOV to CR9, seen after it");
    Cr10WriteTrap = 0x09a => write_trap("cr10.write-trap", "VMEXIT_CR10_WRITE_TRAP", 26)
        .trigger("MOV to CR10, seen after it");
    Cr11WriteTrap = 0x09b => write_trap("cr11.write-trap", "VMEXIT_CR11_WRITE_TRAP", 27)
        .trigger("MOV to CR11, seen after it");
    Cr12WriteTrap = 0x09c => write_trap("cr12.write-trap", "VMEXIT_CR12_WRITE_TRAP", 28)
        .trigger("MOV to CR12, seen after it");
    Cr13WriteTrap = 0x09d => write_trap("cr13.write-trap", "VMEXIT_CR13_WRITE_TRAP", 29)
        .trigger("MOV to CR13, seen after it");
    Cr14WriteTrap = 0x09e => write_trap("cr14.write-trap", "VMEXIT_CR14_WRITE_TRAP", 30)
        .trigger("MOV to CR14, seen after it");
    Cr15WriteTrap = 0x09f => write_trap("cr15.write-trap", "VMEXIT_CR15_WRITE_TRAP", 31)
        .trigger("MOV to CR15, seen after it");
    Invlpgb = 0x0a0 => step("invlpgb", "VMEXIT_INVLPGB", MISC3, 0).needs(Feature::INVLPGB)
        .trigger("INVLPGB").section("15.9");
    InvlpgbIllegal = 0x0a1 => step("invlpgb.illegal", "VMEXIT_INVLPGB_ILLEGAL", MISC3, 1)
        .needs(Feature::INVLPGB).no_method()
        .trigger("INVLPGB with operands that a guest may not use").section("15.9");
    Invpcid = 0x0a2 => step("invpcid", "VMEXIT_INVPCID", MISC3, 2).needs(Feature::INVPCID)
        .trigger("INVPCID")
        .section("15.9");
    Mcommit = 0x0a3 => step("mcommit", "VMEXIT_MCOMMIT", MISC3, 3).needs(Feature::MCOMMIT)
        .trigger("MCOMMIT").section("15.9");
    Tlbsync = 0x0a4 => step("tlbsync", "VMEXIT_TLBSYNC", MISC3, 4).needs(Feature::INVLPGB)
        .trigger("TLBSYNC").section("15.9");
    BusLock = 0x0a5 => event("bus-lock", "VMEXIT_BUSLOCK", MISC3, 5, "stop")
        .needs(Feature::BUS_LOCK_THRESHOLD).fits(Actions::PASS.union(Actions::STOP))
        .trigger("a bus lock when the bus-lock counter is 0").infos("0", "0").section("15.14.5");
    IdleHlt = 0x0a6 => emulated("idle-hlt", "VMEXIT_IDLE_HLT", MISC3, 6, "hlt").opcode(1).waits()
        .needs(Feature::IDLE_HLT).trigger("HLT while no virtual interrupt is pending")
        .section("15.9");
    Npf = 0x400 => event("npf", "VMEXIT_NPF", 0, 0, "npf").caused_by(Intercept::NestedPaging)
        .needs(Feature::NPT).owned(Owner::NestedPaging, Action::Emulate)
        .fits(Actions::EMULATE.union(Actions::INJECT).union(Actions::STOP))
        .trigger("a nested page fault")
        .infos("the error code, and where the walk stopped", "the guest-physical address")
        .section("15.25.6");
    AvicIncompleteIpi = 0x401 => event("avic.incomplete-ipi", "VMEXIT_AVIC_INCOMPLETE_IPI", 0, 0, "stop")
        .caused_by(Intercept::Avic).needs(Feature::AVIC).fits(Actions::STOP)
        .trigger("an IPI that AVIC could not deliver to all targets")
        .infos("ICR high and low", "why it was incomplete, and for which target")
        .section("15.29.9");
    AvicNoaccel = 0x402 => event("avic.noaccel", "VMEXIT_AVIC_NOACCEL", 0, 0, "stop")
        .caused_by(Intercept::Avic).needs(Feature::AVIC).fits(Actions::STOP)
        .trigger("an APIC register access that AVIC does not accelerate")
        .infos("offset of the register, and whether it was a write", "the vector, for EOI")
        .section("15.29.9");
    Vmgexit = 0x403 => event("vmgexit", "VMEXIT_VMGEXIT", 0, 0, "stop")
        .caused_by(Intercept::EncryptedState).needs(Feature::SEV_ES).fits(Actions::STOP)
        .trigger("VMGEXIT of an encrypted guest").section("15.35.6");
    InvalidPmc = 0xffff_ffff_ffff_fffc => event("invalid-pmc", "VMEXIT_INVALID_PMC", 0, 0, "invalid")
        .caused_by(Intercept::Vmrun).needs(Feature::SEV_ES).fits(Actions::STOP).owned_stop()
        .trigger("VMRUN of an encrypted guest whose performance counters its VMM does not allow")
        .section("15.39");
    IdleRequired = 0xffff_ffff_ffff_fffd => event("idle-required", "VMEXIT_IDLE_REQUIRED", 0, 0, "invalid")
        .caused_by(Intercept::Vmrun).needs(Feature::SMT_PROTECTION).fits(Actions::STOP).owned_stop()
        .trigger("VMRUN of an encrypted guest whose sibling thread is not idle").section("15.36.17");
    Busy = 0xffff_ffff_ffff_fffe => event("busy", "VMEXIT_BUSY", 0, 0, "invalid")
        .caused_by(Intercept::Vmrun).needs(Feature::SEV_ES).fits(Actions::STOP).owned_stop()
        .trigger("VMRUN of a VMCB whose encrypted state is in use").section("15.36.16");
    Invalid = 0xffff_ffff_ffff_ffff => event("invalid", "VMEXIT_INVALID", 0, 0, "invalid")
        .caused_by(Intercept::Vmrun).fits(Actions::STOP).owned_stop()
        .trigger("VMRUN found illegal state in the VMCB").section("15.5.1");
}

/// The exit with that name in `vm.toml`.
pub fn by_name(name: &str) -> Option<&'static Exit> {
    EXITS.iter().find(|exit| exit.name == name)
}

/// The exit with that code. Those below 0, VMRUN's own, are known by their low 32 bits.
pub fn by_code(code: u64) -> Option<&'static Exit> {
    const BELOW_0: u64 = 0xffff_ffff_0000_0000;
    let wanted = match code {
        0xffff_ff00..=0xffff_ffff => code | BELOW_0,
        _ => code,
    };
    EXITS
        .binary_search_by_key(&wanted, |exit| exit.code as u64)
        .ok()
        .and_then(|index| EXITS.get(index))
}

impl ExitCode {
    /// What there is to know about this exit.
    pub fn exit(self) -> &'static Exit {
        // Every variant comes from a row, so the search always succeeds.
        by_code(self as u64).unwrap_or(&EXITS[0])
    }
}

#[cfg(test)]
mod tests;

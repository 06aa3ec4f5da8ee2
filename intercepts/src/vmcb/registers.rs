//! The formats of the registers in the save area (APM volume 2, chapters 3, 4, 7, 11, 13).

use crate::bits::bits;

/// Values with what they stand for.
type Choice = &'static [(u64, &'static str)];

const BREAKPOINTS: Choice = &[
    (0, "execution"),
    (1, "writes"),
    (2, "ports"),
    (3, "reads and writes"),
];
const LENGTHS: Choice = &[
    (0, "1 byte"),
    (1, "2 bytes"),
    (2, "8 bytes"),
    (3, "4 bytes"),
];
const MEMORY_TYPES: Choice = &[
    (0, "UC"),
    (1, "WC"),
    (4, "WT"),
    (5, "WP"),
    (6, "WB"),
    (7, "UC-"),
];

bits! {
    /// A segment register as the save area holds it, 16 bytes.
    pub mod segment: u128;
    RPL = 1:0, "Requested privilege level, in the selector";
    TI = 2, "Table: 0 GDT, 1 LDT, in the selector";
    INDEX = 15:3, "Index of the descriptor, in the selector";
    TYPE = 19:16, "Type of the descriptor";
    S = 20, "1: code or data, 0: system";
    DPL = 22:21, "Descriptor privilege level";
    P = 23, "Present";
    AVL = 24, "For software";
    L = 25, "64-bit code";
    D_B = 26, "Default size: 0 16 bits, 1 32 bits";
    G = 27, "Granularity of the descriptor's limit";
    LIMIT = 63:32, "Limit, in bytes";
    BASE = 127:64, "Base";

    /// GDTR and IDTR as the save area holds them, 16 bytes.
    pub mod table: u128;
    LIMIT = 47:32, "Limit, in bytes";
    BASE = 127:64, "Base";

    /// CPL (4CBh).
    pub mod cpl: u8;
    CPL = 1:0, "Current privilege level";

    /// EFER (MSR C000_0080h, APM 3.1.7).
    pub mod efer: u64;
    SCE = 0, "SYSCALL and SYSRET";
    LME = 8, "Long mode enabled";
    LMA = 10, "Long mode active";
    NXE = 11, "No-execute pages";
    SVME = 12, "SVM; 1 in every VMCB, whatever the guest is told";
    LMSLE = 13, "Segment limits in long mode";
    FFXSR = 14, "Fast FXSAVE and FXRSTOR";
    TCE = 15, "Translation cache extension";
    MCOMMIT = 17, "MCOMMIT";
    INTWB = 18, "Interruptible WBINVD";
    UAIE = 20, "Upper address bits ignored";
    AIBRSE = 21, "Automatic IBRS";

    /// CR0 (APM 3.1.1).
    pub mod cr0: u64;
    PE = 0, "Protected mode";
    MP = 1, "WAIT looks at TS";
    EM = 2, "x87 instructions are emulated";
    TS = 3, "Task switched: x87 and SSE raise #NM";
    ET = 4, "Always 1";
    NE = 5, "x87 errors raise #MF";
    WP = 16, "The supervisor keeps to read-only pages";
    AM = 18, "RFLAGS.AC checks alignment";
    NW = 29, "Not write-through; ignored";
    CD = 30, "Caches off";
    PG = 31, "Paging";

    /// CR3 (APM 5.2.2, 5.3.2).
    pub mod cr3: u64;
    PWT = 3, "Write-through of the top table, without PCIDs";
    PCD = 4, "No caching of the top table, without PCIDs";
    BASE = 51:12, "Physical address of the top table, its low 12 bits omitted";

    /// CR4 (APM 3.1.3).
    pub mod cr4: u64;
    VME = 0, "Virtual-8086 mode extensions";
    PVI = 1, "Protected-mode virtual interrupts";
    TSD = 2, "RDTSC at CPL 0 only";
    DE = 3, "Debugging extensions";
    PSE = 4, "4 MiB pages";
    PAE = 5, "Page tables of 64-bit entries";
    MCE = 6, "Machine-check exception";
    PGE = 7, "Global pages";
    PCE = 8, "RDPMC at any CPL";
    OSFXSR = 9, "The system saves SSE state";
    OSXMMEXCPT = 10, "The system handles #XF";
    UMIP = 11, "No SGDT and its kind in user mode";
    LA57 = 12, "Five-level paging";
    FSGSBASE = 16, "RDFSBASE and its kind";
    PCIDE = 17, "Process-context identifiers";
    OSXSAVE = 18, "The system uses XSAVE";
    SMEP = 20, "The supervisor executes no user pages";
    SMAP = 21, "The supervisor accesses no user pages";
    PKE = 22, "Protection keys";
    CET = 23, "Shadow stacks";

    /// DR6 (APM 13.1.1).
    pub mod dr6: u64;
    B0 = 0, "Breakpoint 0 was met";
    B1 = 1, "Breakpoint 1 was met";
    B2 = 2, "Breakpoint 2 was met";
    B3 = 3, "Breakpoint 3 was met";
    BLD = 11, "0: a bus lock was detected";
    BD = 13, "A debug register was accessed while protected";
    BS = 14, "Single step";
    BT = 15, "Task switch";

    /// DR7 (APM 13.1.1).
    pub mod dr7: u64;
    L0 = 0, "Breakpoint 0, until a task switch";
    G0 = 1, "Breakpoint 0";
    L1 = 2, "Breakpoint 1, until a task switch";
    G1 = 3, "Breakpoint 1";
    L2 = 4, "Breakpoint 2, until a task switch";
    G2 = 5, "Breakpoint 2";
    L3 = 6, "Breakpoint 3, until a task switch";
    G3 = 7, "Breakpoint 3";
    LE = 8, "Ignored";
    GE = 9, "Ignored";
    GD = 13, "Accesses to debug registers raise #DB";
    RW0 = 17:16, "What breakpoint 0 looks at" of BREAKPOINTS;
    LEN0 = 19:18, "Length of breakpoint 0" of LENGTHS;
    RW1 = 21:20, "What breakpoint 1 looks at" of BREAKPOINTS;
    LEN1 = 23:22, "Length of breakpoint 1" of LENGTHS;
    RW2 = 25:24, "What breakpoint 2 looks at" of BREAKPOINTS;
    LEN2 = 27:26, "Length of breakpoint 2" of LENGTHS;
    RW3 = 29:28, "What breakpoint 3 looks at" of BREAKPOINTS;
    LEN3 = 31:30, "Length of breakpoint 3" of LENGTHS;

    /// RFLAGS (APM 3.1.6).
    pub mod rflags: u64;
    CF = 0, "Carry";
    ONE = 1, "Always 1";
    PF = 2, "Parity";
    AF = 4, "Auxiliary carry";
    ZF = 6, "Zero";
    SF = 7, "Sign";
    TF = 8, "Single step";
    IF = 9, "Interrupts are taken";
    DF = 10, "Strings run downwards";
    OF = 11, "Overflow";
    IOPL = 13:12, "I/O privilege level";
    NT = 14, "Nested task";
    RF = 16, "No instruction breakpoint at the next instruction";
    VM = 17, "Virtual-8086 mode";
    AC = 18, "Alignment check, or access to user pages";
    VIF = 19, "Virtual interrupt flag";
    VIP = 20, "Virtual interrupt pending";
    ID = 21, "CPUID is there";

    /// S_CET (MSR 6A2h).
    pub mod s_cet: u64;
    SH_STK_EN = 0, "The supervisor has shadow stacks";
    WR_SHSTK_EN = 1, "WRSS in the supervisor";

    /// The PAT (MSR 277h, APM 7.8): a memory type for each of eight page attributes.
    pub mod pat: u64;
    PA0 = 2:0, "Memory type of attribute 0" of MEMORY_TYPES;
    PA1 = 10:8, "Memory type of attribute 1" of MEMORY_TYPES;
    PA2 = 18:16, "Memory type of attribute 2" of MEMORY_TYPES;
    PA3 = 26:24, "Memory type of attribute 3" of MEMORY_TYPES;
    PA4 = 34:32, "Memory type of attribute 4" of MEMORY_TYPES;
    PA5 = 42:40, "Memory type of attribute 5" of MEMORY_TYPES;
    PA6 = 50:48, "Memory type of attribute 6" of MEMORY_TYPES;
    PA7 = 58:56, "Memory type of attribute 7" of MEMORY_TYPES;

    /// DebugCtl (MSR 1D9h, APM 13.1.1).
    pub mod dbgctl: u64;
    LBR = 0, "Last branches are recorded";
    BTF = 1, "RFLAGS.TF steps from branch to branch";
    BLCKDB = 2, "A bus lock raises #DB";

    /// SPEC_CTRL (MSR 48h).
    pub mod spec_ctrl: u64;
    IBRS = 0, "Indirect branch restricted speculation";
    STIBP = 1, "Single-thread indirect branch prediction";
    SSBD = 2, "No speculative store bypass";
    PSFD = 7, "No predictive store forwarding";
}

//! The SVM instructions and RSM. The kernel leaves EFER.SVME at 0 and is not in
//! system-management mode, so each is an invalid opcode (APM, vol. 3, chapter 4).
//! Only VMMCALL may find somebody to answer it.
//!
//! By their bytes: an assembler wants the register of some spelled out, of some not.

use super::{Entry, May, Same, entry};
use crate::kernel::exceptions::attempt;

pub(super) const ENTRIES: &[Entry] = &[
    entry("VMRUN", Same, |_| {
        attempt!(".byte 0x0f, 0x01, 0xd8"; in("eax") 0).into()
    }),
    entry("VMMCALL", May, |_| {
        attempt!(".byte 0x0f, 0x01, 0xd9"; inout("eax") 0 => _).into()
    }),
    entry("VMLOAD", Same, |_| {
        attempt!(".byte 0x0f, 0x01, 0xda"; in("eax") 0).into()
    }),
    entry("VMSAVE", Same, |_| {
        attempt!(".byte 0x0f, 0x01, 0xdb"; in("eax") 0).into()
    }),
    entry("STGI", Same, |_| attempt!(".byte 0x0f, 0x01, 0xdc").into()),
    entry("CLGI", Same, |_| attempt!(".byte 0x0f, 0x01, 0xdd").into()),
    entry("SKINIT", Same, |_| {
        attempt!(".byte 0x0f, 0x01, 0xde"; in("eax") 0).into()
    }),
    entry("INVLPGA", Same, |_| {
        attempt!(".byte 0x0f, 0x01, 0xdf"; in("eax") 0, in("ecx") 0).into()
    }),
    entry("RSM", Same, |_| attempt!("rsm").into()),
];

//! VMMCALL: what a guest may ask of the VMM.
//!
//! | EAX in | Call | Arguments | EAX out |
//! |---|---|---|---|
//! | 0 | identify | none | `TOLL` (4C4C_4F54h, little-endian ASCII) |
//! | 1 | version of this interface | none | 1 |
//! | 2 | time since the VM started, in ns | none | low half; high half in EDX |
//! | 3 | power off | none | does not return |
//! | other | | | FFFF_FFFFh: unknown call |
//!
//! Other registers keep their values. Only CPL 0 may call: at CPL 1 to 3 the guest gets #UD,
//! as on a CPU without VMMCALL.

use super::Outcome;
use crate::vm::{How, Vcpu, Vm};

/// What `identify` answers: `TOLL`.
pub const SIGNATURE: u32 = u32::from_le_bytes(*b"TOLL");
/// The version of this interface.
pub const VERSION: u32 = 1;
/// The answer to a call that does not exist.
pub const UNKNOWN: u32 = u32::MAX;

/// Answers the call in EAX.
pub fn hypercall(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    if vcpu.save().cpl != 0 {
        vcpu.inject_ud();
        return Outcome::Resume;
    }
    let answer = match vcpu.save().rax as u32 {
        0 => SIGNATURE,
        1 => VERSION,
        2 => {
            let now = vm.clock.now().0;
            vcpu.gprs.rdx = now >> 32;
            now as u32
        }
        3 => return vm.finish(How::PowerOff, format_args!("power off, by VMMCALL")),
        _ => UNKNOWN,
    };
    vcpu.set_rax(answer.into());
    vcpu.advance(&vm.memory, [0x0f, 0x01, 0xd9]);
    Outcome::Resume
}

//! What a CPU with decode assists tells of an intercepted instruction (APM 15.8): its register,
//! its vector, its address. Then nobody has to read the guest's code, which another of its CPUs
//! or a device might have changed by now, or which the guest may not even be able to read.

use intercepts::ExitCode;
use intercepts::vmcb::Control;

use crate::decode::{Instruction, LONGEST, Operation, Prefixes};

/// EXITINFO1 of an access to a control register: it was MOV, and not CLTS, LMSW or SMSW.
const MOV: u64 = 1 << 63;
/// EXITINFO1 of MOV: the number of the general-purpose register.
const GPR: u64 = 0xf;

const CR_READ: u64 = ExitCode::Cr0Read as u64;
const CR_WRITE: u64 = ExitCode::Cr0Write as u64;
const DR_READ: u64 = ExitCode::Dr0Read as u64;
const DR_WRITE: u64 = ExitCode::Dr0Write as u64;
const SWINT: u64 = ExitCode::Swint as u64;

/// The instruction at `rip`, as far as this exit tells it.
pub fn instruction(control: &Control, rip: u64) -> Option<Instruction> {
    let info = control.exit_info1;
    let number = control.exit_code as u8 & 0xf;
    let gpr = (info & GPR) as u8;
    let operation = match control.exit_code & !0xf {
        CR_READ if info & MOV != 0 => Operation::MovFromCr { cr: number, gpr },
        CR_WRITE if info & MOV != 0 => Operation::MovToCr { cr: number, gpr },
        DR_READ => Operation::MovFromDr { dr: number, gpr },
        DR_WRITE => Operation::MovToDr { dr: number, gpr },
        _ if control.exit_code == SWINT => Operation::Int(info as u8),
        _ => return None,
    };
    Some(Instruction {
        length: length(control, rip)?,
        prefixes: Prefixes::default(),
        operation,
    })
}

/// The linear address that the INVLPG at `rip` names, and the RIP behind it.
pub fn invlpg(control: &Control, rip: u64) -> Option<(u64, u64)> {
    let is_invlpg = control.exit_code == ExitCode::Invlpg as u64;
    let length = length(control, rip).filter(|_| is_invlpg)?;
    Some((control.exit_info1, rip.wrapping_add(length.into())))
}

/// The instruction's length, by nRIP.
fn length(control: &Control, rip: u64) -> Option<u8> {
    let length = control.next_rip.wrapping_sub(rip);
    (1..=LONGEST as u64)
        .contains(&length)
        .then_some(length as u8)
}

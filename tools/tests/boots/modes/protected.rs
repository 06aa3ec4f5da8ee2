//! 32-bit protected mode without paging: segments, and rings.

use iced_x86::code_asm::*;

use super::toolbox::*;

/// The guest.
pub fn kernel() -> Vec<u8> {
    kernel_of(|a| {
        say(a, "protected: begins\r\n")?;
        poke(a, 0x20_0000, 0x600d_f00d)?;
        show(a, "protected: memory ", |a| {
            a.mov(eax, dword_ptr(0x20_0000))
        })?;
        fault(a, "protected: no such segment", |a| {
            a.mov(eax, 0x50)?;
            a.mov(gs, eax)
        })?;
        fault(a, "protected: ring 3 halts", |a| in_ring_3(a, |a| a.hlt()))?;
        end(a)
    })
}

fn kernel_of(write: impl FnOnce(&mut CodeAssembler) -> Done) -> Vec<u8> {
    super::toolbox::kernel(vec![code(32, START, START, write)])
}

/// Does `body` in ring 3, until it faults.
pub fn in_ring_3(a: &mut CodeAssembler, body: impl FnOnce(&mut CodeAssembler) -> Done) -> Done {
    let mut enter = a.create_label();
    a.call(enter)?;
    body(a)?;
    a.set_label(&mut enter)?;
    a.pop(ecx)?;
    segments(a, USER_DATA)?;
    a.push(USER_DATA)?;
    a.push(STACK - 0x800)?;
    a.push(2)?;
    a.push(USER_CODE)?;
    a.push(ecx)?;
    a.iretd()
}

/// Does `body` in ring 3, where it faults; prints the error code and the address.
pub fn fault_in_ring_3(
    a: &mut CodeAssembler,
    name: &str,
    body: impl FnOnce(&mut CodeAssembler) -> Done,
) -> Done {
    fault(a, name, |a| in_ring_3(a, body))?;
    segments(a, DATA)
}

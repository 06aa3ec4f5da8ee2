//! Real mode, the same with segments of 4 GiB ("unreal"), and virtual-8086 mode.

use iced_x86::code_asm::*;

use super::toolbox::*;

/// The paragraph of the 16-bit code, and where in it real mode begins.
const PARAGRAPH: u32 = BASE_16 >> 4;
const REAL: u32 = 0x400;
/// Where the 32-bit code goes on.
const BACK: u32 = 0x6_0000;
/// The interrupt that is called.
const VECTOR: u32 = 0x40;
const FAR: u32 = 0x20_0000;

/// The guest of real mode.
pub fn kernel() -> Vec<u8> {
    super::toolbox::kernel(vec![
        code(32, START, START, |a| {
            poke(a, FAR, 0x600d_f00d)?;
            say(a, "protected\r\n")?;
            a.push(CODE_16)?;
            a.push(0)?;
            a.retf()
        }),
        code(16, BASE_16, 0, leave_protection),
        code(16, BASE_16 + REAL, REAL, |a| {
            a.xor(ax, ax)?;
            a.mov(ss, eax)?;
            a.mov(sp, STACK)?;
            a.mov(es, eax)?;
            real(a, "real")?;
            // DS still has the limit that it had.
            show(a, "unreal: ", |a| {
                a.mov(ebx, FAR)?;
                a.mov(eax, dword_ptr(ebx))
            })?;
            set_cr0(a, 1)?;
            a.db(&[0x66, 0x68])?; // PUSH of 32 bits
            a.dd(&[CODE])?;
            a.db(&[0x66, 0x68])?;
            a.dd(&[BACK])?;
            a.db(&[0x66, 0xcb]) // RETF of 32 bits
        }),
        code(32, BACK, BACK, |a| {
            gates_32(a)?;
            flat(a)?;
            a.mov(esp, STACK)?;
            fault(a, "gates again", |a| {
                a.mov(eax, 0x50)?;
                a.mov(gs, eax)
            })?;
            say(a, "back: done\r\n")?;
            end(a)
        }),
    ])
}

/// From 16-bit protected mode to real mode; DS stays flat.
fn leave_protection(a: &mut CodeAssembler) -> Done {
    load_idt(a, 0)?;
    a.mov(ax, DATA_16)?;
    a.mov(ss, eax)?;
    a.mov(es, eax)?;
    a.mov(sp, STACK)?;
    a.mov(ax, DATA)?;
    a.mov(ds, eax)?;
    a.mov(eax, cr0)?;
    a.and(eax, !1)?;
    a.mov(cr0, eax)?;
    a.push(PARAGRAPH as i32)?;
    a.push(REAL as i32)?;
    a.retf()
}

/// What real and virtual-8086 mode have in common: paragraphs. DS is that of paragraph 0.
fn real(a: &mut CodeAssembler, name: &str) -> Done {
    a.mov(ax, 0x1000)?;
    a.mov(es, eax)?;
    a.mov(word_ptr(0x10).es(), 0x1234)?;
    a.mov(ax, 0xfff)?;
    a.mov(es, eax)?;
    show(a, &format!("{name}: aliased "), |a| {
        a.xor(eax, eax)?;
        a.mov(ax, word_ptr(0x20).es())
    })?;
    // The code paragraph, as the far call pushes it.
    show(a, &format!("{name}: CS "), |a| {
        a.xor(eax, eax)?;
        a.mov(ax, cs)
    })
}

/// The guest of virtual-8086 mode. Every fault of it is one for the 32-bit code: also the last.
pub fn virtual_8086() -> Vec<u8> {
    const VM: u32 = 1 << 17;
    const IOPL_3: u32 = 3 << 12;
    super::toolbox::kernel(vec![
        code(32, START, START, |a| {
            fault(a, "vm86: HLT", |a| {
                for word in [0, 0, 0, 0, 0, 0x6000, VM | IOPL_3 | 2, PARAGRAPH, REAL] {
                    a.push(word as i32)?;
                }
                a.iretd()
            })?;
            flat(a)?;
            fault(a, "vm86: INT", |a| {
                for word in [0, 0, 0, 0, 0, 0x6000, VM | 2, PARAGRAPH, REAL + 0x300] {
                    a.push(word as i32)?;
                }
                a.iretd()
            })?;
            flat(a)?;
            show(a, "vm86: done ", |a| a.mov(eax, 13))?;
            end(a)
        }),
        code(16, BASE_16 + REAL, REAL, |a| {
            real(a, "vm86")?;
            a.hlt()
        }),
        // With IOPL 0 it is #GP.
        code(16, BASE_16 + REAL + 0x300, REAL + 0x300, |a| {
            a.int(VECTOR as i32)
        }),
    ])
}

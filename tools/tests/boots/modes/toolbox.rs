//! What the guests of this folder are made of: code at fixed places, text on the serial line,
//! descriptor tables, and faults that are survived.

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use crate::tiny_guest::{power_off, tiny_guest};

pub type Done = Result<(), IcedError>;

/// Where each code lies, below 1 MiB.
pub const START: u32 = 0x4_0000;
pub const STACK: u32 = 0x7000;
const IDT: u32 = 0x8000;
const GDT: u32 = 0x9000;
const POINTER: u32 = 0x9100;
const ERROR: u32 = 0x9200;
const ADDRESS: u32 = 0x9204;
pub const COUNT: u32 = 0x9208;
const TSS: u32 = 0x9400;

/// Selectors of the table that [`tables`] loads.
pub const CODE: u32 = 0x08;
pub const DATA: u32 = 0x10;
pub const USER_CODE: u32 = 0x1b;
pub const USER_DATA: u32 = 0x23;
const TASK: u32 = 0x28;
pub const CODE_16: u32 = 0x30;
pub const DATA_16: u32 = 0x38;
pub const CODE_64: u32 = 0x40;
const USER_CODE_64: u32 = 0x4b;
/// The base of [`CODE_16`].
pub const BASE_16: u32 = 0x2_0000;

/// Code of so many bits that begins at this linear address.
pub struct Code {
    at: u32,
    bytes: Vec<u8>,
}

/// Code that runs at `ip`, `at` being where that is in memory.
pub fn code(bits: u32, at: u32, ip: u32, write: impl FnOnce(&mut CodeAssembler) -> Done) -> Code {
    let mut assembler = CodeAssembler::new(bits).expect("an assembler");
    write(&mut assembler).expect("instructions");
    let bytes = assembler.assemble(ip.into()).expect("machine code");
    Code { at, bytes }
}

/// A kernel that puts each code in its place and jumps to [`START`], with [`tables`] loaded.
pub fn kernel(codes: Vec<Code>) -> Vec<u8> {
    tiny_guest(|a| {
        let mut copy = a.create_label();
        a.mov(esp, STACK)?;
        a.call(copy)?;
        for code in &codes {
            a.db(&code.bytes)?;
        }
        a.set_label(&mut copy)?;
        a.pop(esi)?;
        for code in &codes {
            a.mov(edi, code.at)?;
            a.mov(ecx, code.bytes.len() as u32)?;
            a.rep().movsb()?;
        }
        tables(a)?;
        a.push(CODE)?;
        a.push(START)?;
        a.retf()
    })
}

/// Loads the GDT, and an IDT whose gates lead to a handler that notes error code and CR2, and
/// ends [`try_to`].
fn tables(a: &mut CodeAssembler) -> Done {
    let (mut start, mut gate) = (a.create_label(), a.create_label());
    a.call(start)?;
    // What comes from virtual-8086 mode has none.
    a.push(DATA as i32)?;
    a.pop(ds)?;
    a.pop(dword_ptr(ERROR))?;
    a.mov(eax, cr2)?;
    a.mov(dword_ptr(ADDRESS), eax)?;
    a.inc(dword_ptr(COUNT))?;
    a.mov(esp, STACK - 4)?;
    a.ret()?;
    a.set_label(&mut start)?;
    a.pop(eax)?;
    let descriptors: [(u32, u32); 10] = [
        (0, 0),
        (0xffff, 0x00cf_9b00),
        (0xffff, 0x00cf_9300),
        (0xffff, 0x00cf_fb00),
        (0xffff, 0x00cf_f300),
        (TSS << 16 | 0xff, 0x0000_8900),
        (0xffff, 0x0000_9b02),
        (0xffff, 0x0000_9300),
        (0, 0x0020_9b00),
        (0, 0x0020_fb00),
    ];
    let words = descriptors.into_iter().flat_map(|(low, high)| [low, high]);
    for (place, word) in (GDT..).step_by(4).zip(words) {
        a.mov(dword_ptr(place), word)?;
    }
    a.mov(word_ptr(POINTER), 10 * 8 - 1)?;
    a.mov(dword_ptr(POINTER + 2), GDT)?;
    a.lgdt(ptr(POINTER))?;
    // Below what `try_to` has pushed.
    a.mov(dword_ptr(TSS + 4), STACK - 0x100)?;
    a.mov(dword_ptr(TSS + 8), DATA)?;
    // A permission map, all zeroes, that reaches the serial line.
    a.mov(dword_ptr(TSS + 0x64), 0x68_0000)?;
    a.mov(edx, TASK)?;
    a.ltr(dx)?;
    a.mov(dword_ptr(COUNT), 0)?;
    a.mov(edx, eax)?;
    a.and(eax, 0xffff)?;
    a.or(eax, CODE << 16)?;
    // Open to ring 3, for software interrupts.
    a.mov(dx, 0xee00)?;
    a.mov(edi, IDT)?;
    a.mov(ecx, 0x41)?;
    a.set_label(&mut gate)?;
    a.mov(dword_ptr(edi), eax)?;
    a.mov(dword_ptr(edi + 4), edx)?;
    a.add(edi, 8)?;
    a.loop_(gate)?;
    load_idt(a, IDT)?;
    flat(a)
}

/// Loads IDTR.
pub fn load_idt(a: &mut CodeAssembler, base: u32) -> Done {
    a.mov(word_ptr(POINTER), 0xfff)?;
    a.mov(dword_ptr(POINTER + 2), base)?;
    a.mov(dword_ptr(POINTER + 6), 0)?;
    a.lidt(ptr(POINTER))
}

/// Flat data segments of ring 0.
pub fn flat(a: &mut CodeAssembler) -> Done {
    segments(a, DATA)?;
    a.mov(ss, eax)
}

/// These data segments, but for SS.
pub fn segments(a: &mut CodeAssembler, selector: u32) -> Done {
    a.mov(eax, selector)?;
    a.mov(ds, eax)?;
    a.mov(es, eax)
}

/// Prints text.
pub fn say(a: &mut CodeAssembler, text: &str) -> Done {
    a.mov(dx, 0x3f8)?;
    for byte in text.bytes() {
        a.mov(al, u32::from(byte))?;
        a.out(dx, al)?;
    }
    Ok(())
}

/// Prints EAX as eight digits.
pub fn hex(a: &mut CodeAssembler) -> Done {
    let (mut digit, mut decimal) = (a.create_label(), a.create_label());
    a.mov(ebx, eax)?;
    a.mov(ecx, 8)?;
    a.mov(dx, 0x3f8)?;
    a.set_label(&mut digit)?;
    a.rol(ebx, 4)?;
    a.mov(al, bl)?;
    a.and(al, 15)?;
    a.add(al, 0x30)?;
    a.cmp(al, 0x39)?;
    a.jbe(decimal)?;
    a.add(al, 7)?;
    a.set_label(&mut decimal)?;
    a.out(dx, al)?;
    a.dec(ecx)?;
    a.jnz(digit)
}

/// Prints text and what `eax` becomes, on a line.
pub fn show(
    a: &mut CodeAssembler,
    text: &str,
    value: impl FnOnce(&mut CodeAssembler) -> Done,
) -> Done {
    say(a, text)?;
    value(a)?;
    hex(a)?;
    say(a, "\r\n")
}

/// Does `touch`, which may fault; either way, what comes next is next.
pub fn try_to(a: &mut CodeAssembler, touch: impl FnOnce(&mut CodeAssembler) -> Done) -> Done {
    let (mut body, mut next) = (a.create_label(), a.create_label());
    let word = a.bitness() as i32 / 8;
    a.call(body)?;
    a.jmp(next)?;
    a.set_label(&mut body)?;
    touch(a)?;
    if word == 8 {
        a.add(rsp, word)?;
    } else {
        a.add(esp, word)?;
    }
    a.set_label(&mut next)?;
    a.zero_bytes()
}

/// Does `touch`, which faults; prints the error code and the address.
pub fn fault(
    a: &mut CodeAssembler,
    name: &str,
    touch: impl FnOnce(&mut CodeAssembler) -> Done,
) -> Done {
    a.mov(dword_ptr(ERROR), 0xffff_ffffu32)?;
    try_to(a, touch)?;
    say(a, name)?;
    say(a, ": error ")?;
    a.mov(eax, dword_ptr(ERROR))?;
    hex(a)?;
    say(a, " at ")?;
    a.mov(eax, dword_ptr(ADDRESS))?;
    hex(a)?;
    say(a, "\r\n")
}

/// An IDT for 64-bit mode, with one handler as [`tables`] has it. To be written in 64-bit code.
pub fn gates_64(a: &mut CodeAssembler) -> Done {
    const IDT_64: u32 = 0xa000;
    let (mut start, mut gate) = (a.create_label(), a.create_label());
    a.mov(esp, STACK)?;
    a.call(start)?;
    a.pop(rax)?;
    a.mov(dword_ptr(ERROR), eax)?;
    a.mov(rax, cr2)?;
    a.mov(dword_ptr(ADDRESS), eax)?;
    a.inc(dword_ptr(COUNT))?;
    a.mov(esp, STACK - 8)?;
    a.ret()?;
    a.set_label(&mut start)?;
    a.pop(rax)?;
    a.mov(edx, eax)?;
    a.and(eax, 0xffff)?;
    a.or(eax, CODE_64 << 16)?;
    a.mov(dx, 0x8e00)?;
    a.mov(edi, IDT_64)?;
    a.mov(ecx, 32)?;
    a.set_label(&mut gate)?;
    a.mov(dword_ptr(edi), eax)?;
    a.mov(dword_ptr(edi + 4), edx)?;
    a.mov(qword_ptr(edi + 8), 0)?;
    a.add(edi, 16)?;
    a.dec(ecx)?;
    a.jnz(gate)?;
    load_idt(a, IDT_64)
}

/// Does `body` in ring 3 of 64-bit code, where it faults; prints the error code and the address.
/// The task state segment is one of 64 bits from then on.
pub fn fault_in_ring_3_of_64(
    a: &mut CodeAssembler,
    name: &str,
    body: impl FnOnce(&mut CodeAssembler) -> Done,
) -> Done {
    a.mov(dword_ptr(TSS + 8), 0)?;
    fault(a, name, |a| {
        let mut enter = a.create_label();
        a.call(enter)?;
        body(a)?;
        a.set_label(&mut enter)?;
        a.pop(rcx)?;
        for word in [USER_DATA, STACK - 0x800, 2, USER_CODE_64] {
            a.push(word as i32)?;
        }
        a.push(rcx)?;
        a.iretq()
    })
}

/// Back to the IDT of 32-bit code.
pub fn gates_32(a: &mut CodeAssembler) -> Done {
    load_idt(a, IDT)
}

/// A word of memory.
pub fn poke(a: &mut CodeAssembler, at: u32, value: u32) -> Done {
    a.mov(dword_ptr(at), value)
}

/// An 8-byte entry: both words.
pub fn poke_entry(a: &mut CodeAssembler, at: u32, entry: u64) -> Done {
    poke(a, at, entry as u32)?;
    poke(a, at + 4, (entry >> 32) as u32)
}

/// Sets bits of a control register.
pub fn set_cr0(a: &mut CodeAssembler, bits: u32) -> Done {
    a.mov(eax, cr0)?;
    a.or(eax, bits)?;
    a.mov(cr0, eax)
}

/// Clears bits of CR0.
pub fn clear_cr0(a: &mut CodeAssembler, bits: u32) -> Done {
    a.mov(eax, cr0)?;
    a.and(eax, !bits)?;
    a.mov(cr0, eax)
}

/// Loads CR4 and CR3.
pub fn set_tables(a: &mut CodeAssembler, cr4_value: u32, root: u32) -> Done {
    a.mov(eax, cr4_value)?;
    a.mov(cr4, eax)?;
    a.mov(eax, root)?;
    a.mov(cr3, eax)
}

/// Loads EFER.
pub fn set_efer(a: &mut CodeAssembler, value: u32) -> Done {
    a.mov(ecx, 0xc000_0080u32)?;
    a.xor(edx, edx)?;
    a.mov(eax, value)?;
    a.wrmsr()
}

pub const PG: u32 = 1 << 31;
pub const WP: u32 = 1 << 16;
pub const PSE: u32 = 1 << 4;
pub const PAE: u32 = 1 << 5;
pub const LME: u32 = 1 << 8;
pub const NXE: u32 = 1 << 11;

/// The end.
pub fn end(a: &mut CodeAssembler) -> Done {
    power_off(a)
}

//! Guests without sense: random page tables, random values for the registers that paging is made
//! of, random accesses.

use iced_x86::code_asm::*;

use super::{MIB, for_each};
use crate::modes::toolbox::{
    CODE_64, Done, LME, NXE, PAE, PG, PSE, START, WP, clear_cr0, code, gates_64, hex, kernel, poke,
    poke_entry, say, set_cr0, set_efer, set_tables, try_to,
};
use crate::tiny_guest::power_off;

/// The two-level directory, or the root of long mode; PAE's pointers, or those of long mode; and
/// their directory.
const ROOTS: [u32; 3] = [0x5_0000, 0x5_1000, 0x5_2000];
/// Where tables are looked for, full of entries that lead from here to beyond memory.
const TABLES: u32 = 8 * MIB;
const EFER: u32 = 0xc000_0080;
/// Where the 64-bit code lies.
const WIDE: u32 = 0x6_0000;

/// Makes EAX a random number; EDI is the state.
fn random(a: &mut CodeAssembler) -> Done {
    a.imul_3(edi, edi, 1_664_525)?;
    a.add(edi, 1_013_904_223)?;
    a.mov(eax, edi)?;
    a.rol(eax, 13)
}

/// Makes EAX a random entry.
fn entry(a: &mut CodeAssembler) -> Done {
    random(a)?;
    a.and(eax, 0x017f_ffff)?;
    a.or(eax, TABLES)
}

/// Fills memory from `first` on with entries of 64 bits, of which the upper halves have these of
/// their bits at random.
fn fill(a: &mut CodeAssembler, first: u32, end: u32, high: u32) -> Done {
    for_each(a, first, end, 8, |a| {
        entry(a)?;
        a.mov(dword_ptr(esi), eax)?;
        random(a)?;
        a.and(eax, high)?;
        a.mov(dword_ptr(esi + 4), eax)
    })
}

/// Tables of two levels and of PAE under a first entry that keeps the guest's code where it is, and
/// random registers while they do not count: always the same.
pub fn narrow() -> Vec<u8> {
    const ROUNDS: i32 = 200;
    const ACCESSES: u32 = 32;
    let [two_levels, pointers, directory] = ROOTS;
    kernel(vec![code(32, START, START, |a| {
        let mut round = a.create_label();
        a.mov(edi, 0x5eed)?;
        fill(a, two_levels, directory + 0x1000, 0)?;
        fill(a, TABLES, TABLES + MIB, 0)?;
        for (place, safe) in [
            (two_levels, 0x83),
            (pointers, directory | 1),
            (pointers + 8, TABLES | 1),
            (pointers + 16, (TABLES + 0x1000) | 1),
            (pointers + 24, (TABLES + 0x2000) | 1),
            (directory, 0x83),
            (directory + 8, 0x20_0083),
        ] {
            poke(a, place, safe)?;
        }
        a.mov(dword_ptr(0x6000), ROUNDS)?;
        a.set_label(&mut round)?;
        for (cr4_value, in_use) in [
            (PSE | 0x80, two_levels), // PGE
            (PSE, two_levels),
            (PAE, pointers),
        ] {
            // Anything, while it does not count.
            random(a)?;
            try_to(a, |a| a.mov(cr3, eax))?;
            random(a)?;
            a.and(eax, 0x6ff)?;
            try_to(a, |a| a.mov(cr4, eax))?;
            random(a)?;
            a.xor(edx, edx)?;
            a.mov(ecx, EFER)?;
            try_to(a, |a| a.wrmsr())?;
            random(a)?;
            a.or(eax, 1)?;
            // QUIRK: QEMU 7.2 lets a guest set NW without CD, and VMRUN then refuses it.
            a.and(eax, 0x1fff_ffff)?;
            try_to(a, |a| a.mov(cr0, eax))?;
            clear_cr0(a, 0x6001_000e)?;
            set_efer(a, 0)?;
            set_tables(a, cr4_value, in_use)?;
            set_cr0(a, PG)?;
            for_each(a, 0, ACCESSES, 1, |a| {
                random(a)?;
                a.or(eax, 4 * MIB)?;
                try_to(a, |a| a.invlpg(ptr(eax)))?;
                try_to(a, |a| a.mov(ebx, dword_ptr(eax)))?;
                a.mov(ecx, eax)?;
                entry(a)?;
                try_to(a, |a| a.mov(dword_ptr(ecx), eax))
            })?;
            a.mov(eax, cr0)?;
            a.xor(eax, WP)?;
            a.mov(cr0, eax)?;
            clear_cr0(a, PG)?;
            // Another entry, for a table that may be in use.
            entry(a)?;
            a.mov(ecx, eax)?;
            a.and(ecx, 0x000f_fff8)?;
            random(a)?;
            a.or(eax, TABLES)?;
            a.mov(dword_ptr(ecx + TABLES), eax)?;
        }
        a.dec(dword_ptr(0x6000))?;
        a.jnz(round)?;
        power_off(a)
    })])
}

/// Tables of four levels under first entries that keep the guest's code where it is, and random
/// changes of what long mode lets change: always the same.
pub fn wide() -> Vec<u8> {
    const ROUNDS: u32 = 3000;
    const ROUND: u32 = 0x6000;
    /// NX, and a bit that is anybody's.
    const HIGH: u32 = 0x8010_0000;
    const LMA: u32 = 1 << 10;
    /// An address with it is none of the code's, nor of the tables'.
    const ELSEWHERE: i32 = 2 << 20;
    let [root, pointers, directory] = ROOTS;
    kernel(vec![
        code(32, START, START, |a| {
            a.mov(edi, 0x5eed)?;
            fill(a, root, directory + 0x1000, HIGH)?;
            fill(a, TABLES, TABLES + MIB, HIGH)?;
            for (place, safe) in [
                (root, pointers | 7),
                (pointers, directory | 7),
                (directory, 0x83),
                (directory + 8 * (TABLES / (2 * MIB)), TABLES | 0x83),
            ] {
                poke_entry(a, place, safe.into())?;
            }
            set_efer(a, LME | NXE)?;
            set_tables(a, PAE, root)?;
            set_cr0(a, PG | WP)?;
            a.push(CODE_64)?;
            a.push(WIDE)?;
            a.retf()
        }),
        code(64, WIDE, WIDE, |a| {
            let mut round = a.create_label();
            gates_64(a)?;
            a.mov(dword_ptr(ROUND), ROUNDS)?;
            a.set_label(&mut round)?;
            // Any address that is one.
            random(a)?;
            a.mov(ecx, eax)?;
            random(a)?;
            a.shl(rax, 32)?;
            a.or(rcx, rax)?;
            a.shl(rcx, 16)?;
            a.sar(rcx, 16)?;
            a.or(rcx, ELSEWHERE)?;
            a.and(rcx, -8)?;
            try_to(a, |a| a.invlpg(ptr(rcx)))?;
            try_to(a, |a| a.mov(ebx, dword_ptr(rcx)))?;
            entry(a)?;
            try_to(a, |a| a.mov(qword_ptr(rcx), rax))?;
            // Another entry, for a table that may be in use.
            entry(a)?;
            a.mov(ecx, eax)?;
            a.and(ecx, 0x000f_fff8)?;
            entry(a)?;
            a.mov(dword_ptr(rcx + TABLES), eax)?;
            random(a)?;
            a.and(eax, HIGH)?;
            a.mov(dword_ptr(rcx + TABLES + 4), eax)?;
            // WP, PGE, NXE and all that is cached, now and then.
            random(a)?;
            a.and(eax, 0x80)?;
            a.or(eax, PAE)?;
            a.mov(cr4, rax)?;
            random(a)?;
            a.and(eax, NXE)?;
            a.or(eax, LME | LMA)?;
            a.xor(edx, edx)?;
            a.mov(ecx, EFER)?;
            a.wrmsr()?;
            random(a)?;
            a.and(eax, WP)?;
            a.or(eax, PG | 1)?;
            a.mov(cr0, rax)?;
            a.mov(rax, cr3)?;
            a.mov(cr3, rax)?;
            a.dec(dword_ptr(ROUND))?;
            a.jnz(round)?;
            power_off(a)
        }),
    ])
}

/// Turns paging on over random tables with random registers, again and again, until it dies of
/// that, as it does at once: TF is set, so that nothing is executed there but what leads to #DB.
/// Each life has another seed, which it prints.
pub fn mortal() -> Vec<u8> {
    const ATTEMPTS: u32 = 64;
    const ATTEMPT: u32 = 0x6000;
    const TF: u32 = 1 << 8;
    kernel(vec![code(32, START, START, |a| {
        let mut attempt = a.create_label();
        a.rdtsc()?;
        a.imul_3(edi, eax, 0x9e37_79b1u32 as i32)?;
        say(a, "seed ")?;
        a.mov(eax, edi)?;
        hex(a)?;
        say(a, "\r\n")?;
        fill(a, TABLES, TABLES + MIB, 0x8010_0000)?;
        poke(a, ATTEMPT, ATTEMPTS)?;
        a.set_label(&mut attempt)?;
        random(a)?;
        a.and(eax, LME | NXE | 1)?;
        a.xor(edx, edx)?;
        a.mov(ecx, EFER)?;
        try_to(a, |a| a.wrmsr())?;
        random(a)?;
        a.and(eax, 0x6bf)?;
        try_to(a, |a| a.mov(cr4, eax))?;
        random(a)?;
        a.and(eax, 0x000f_ffff)?;
        a.or(eax, TABLES)?;
        try_to(a, |a| a.mov(cr3, eax))?;
        random(a)?;
        a.or(eax, PG | 1)?;
        // QUIRK: QEMU 7.2 lets a guest set NW without CD, and VMRUN then refuses it.
        a.and(eax, 0xdfff_ffffu32)?;
        try_to(a, |a| {
            a.pushfd()?;
            a.or(dword_ptr(esp), TF)?;
            a.popfd()?;
            a.mov(cr0, eax)
        })?;
        a.dec(dword_ptr(ATTEMPT))?;
        a.jnz(attempt)?;
        power_off(a)
    })])
}

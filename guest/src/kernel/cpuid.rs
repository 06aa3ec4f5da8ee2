//! What CPUID tells, for people. All of it may differ between machines.

use super::console::{print, println};
use super::cpu;

/// Leaf 0: the highest leaf and the vendor's name.
const VENDOR: u32 = 0;
/// Leaf 1: family, model, and features.
const FEATURES: u32 = 1;
/// The first extended leaf: the highest of them.
const EXTENDED: u32 = 0x8000_0000;
/// Features of AMD's.
const EXTENDED_FEATURES: u32 = 0x8000_0001;
/// The first of the three leaves of the processor's name.
const NAME: u32 = 0x8000_0002;

/// Leaf 1, ECX: XSAVE and what belongs to it.
const XSAVE: u32 = 1 << 26;

/// Feature bits of leaf 1, EDX, that have a name here; in order.
const FEATURES_EDX: [&str; 32] = [
    "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "", "sep", "mtrr", "pge",
    "mca", "cmov", "pat", "pse36", "", "clfsh", "", "", "", "mmx", "fxsr", "sse", "sse2", "",
    "htt", "", "", "",
];
/// The same of leaf 1, ECX.
const FEATURES_ECX: [&str; 32] = [
    "sse3", "pclmul", "", "monitor", "", "", "", "", "", "ssse3", "", "", "fma", "cx16", "", "",
    "", "", "", "sse41", "sse42", "x2apic", "movbe", "popcnt", "", "aes", "xsave", "osxsave",
    "avx", "f16c", "rdrand", "",
];

/// Whether the processor has XSETBV.
pub fn has_xsave() -> bool {
    cpu::cpuid(FEATURES).ecx & XSAVE != 0
}

/// Prints what CPUID tells.
pub fn show() {
    let vendor = cpu::cpuid(VENDOR);
    print!("~ cpuid: vendor ");
    print_text(&[vendor.ebx, vendor.edx, vendor.ecx]);
    println!(", leaves to {:x}", vendor.eax);
    let highest_extended = cpu::cpuid(EXTENDED).eax;
    if highest_extended >= NAME + 2 {
        print!("~ cpuid: name ");
        for leaf in NAME..NAME + 3 {
            let part = cpu::cpuid(leaf);
            print_text(&[part.eax, part.ebx, part.ecx, part.edx]);
        }
        println!(", extended leaves to {highest_extended:x}");
    }
    let features = cpu::cpuid(FEATURES);
    println!("~ cpuid: signature {:x}", features.eax);
    print_features(&FEATURES_EDX, features.edx);
    print_features(&FEATURES_ECX, features.ecx);
    if highest_extended >= EXTENDED_FEATURES {
        let extended = cpu::cpuid(EXTENDED_FEATURES);
        println!(
            "~ cpuid: extended features {:08x} {:08x}",
            extended.edx, extended.ecx
        );
    }
}

/// Prints the characters that registers hold, without those that show nothing.
fn print_text(registers: &[u32]) {
    for byte in registers.iter().flat_map(|register| register.to_le_bytes()) {
        if byte.is_ascii_graphic() || byte == b' ' {
            print!("{}", char::from(byte));
        }
    }
}

/// Prints the names of the bits that are set, in lines of a screen's width.
fn print_features(names: &[&str; 32], bits: u32) {
    const PER_LINE: usize = 8;
    let mut shown = 0;
    for (bit, name) in names.iter().enumerate() {
        if bits & 1 << bit == 0 || name.is_empty() {
            continue;
        }
        if shown % PER_LINE == 0 {
            print!("{}~ cpuid: has", if shown == 0 { "" } else { "\n" });
        }
        print!(" {name}");
        shown += 1;
    }
    if shown > 0 {
        println!();
    }
}

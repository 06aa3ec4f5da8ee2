//! Recognising kernels, and Multiboot kernels, on images built byte by byte.

use super::*;
use crate::addr::Gpa;
use crate::vm::memory::tests::leaked;
use proptest::prelude::*;

const MEMORY: u64 = 2 << 20;

/// A Multiboot header with these flags and address fields.
fn header(flags: u32, addresses: [u32; 5]) -> Vec<u8> {
    const MAGIC: u32 = 0x1bad_b002;
    let checksum = 0u32.wrapping_sub(MAGIC).wrapping_sub(flags);
    [MAGIC, flags, checksum]
        .into_iter()
        .chain(addresses)
        .flat_map(u32::to_le_bytes)
        .collect()
}

/// A kernel with address fields: 64 bytes at 1 MiB, 32 more of bss.
fn kludge() -> Vec<u8> {
    let mut image = header(
        1 << 16,
        [0x10_0000, 0x10_0000, 0x10_0040, 0x10_0060, 0x10_0020],
    );
    image.resize(64, 0x90);
    image
}

/// A program header: type, offset, virtual, physical, file size, memory size, flags.
type Program = [u32; 7];

/// An ELF32 file for `machine` with these program headers and a Multiboot header.
fn elf(machine: u16, entry: u32, programs: &[Program]) -> Vec<u8> {
    let mut image = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    image.extend(2u16.to_le_bytes());
    image.extend(machine.to_le_bytes());
    for word in [1, entry, 52, 0, 0] {
        image.extend(u32::to_le_bytes(word));
    }
    for half in [52, 32, programs.len() as u16, 40, 0, 0] {
        image.extend(u16::to_le_bytes(half));
    }
    for program in programs {
        let [kind, offset, virtual_, physical, file, memory, flags] = *program;
        for word in [kind, offset, virtual_, physical, file, memory, flags, 4096] {
            image.extend(word.to_le_bytes());
        }
    }
    image.resize(0x200, 0);
    image.extend(header(0, [0; 5]));
    image.resize(0x400, 0xcc);
    image
}

const LOAD: u32 = 1;
const RX: u32 = 5;

fn one_segment() -> Program {
    [LOAD, 0x200, 0x10_0000, 0x10_0000, 0x200, 0x1000, RX]
}

fn load_into(image: &[u8], bytes: u64) -> Result<(GuestMemory, Vcpu), LoadError> {
    let mut memory = leaked(bytes as usize);
    let mut vcpu = Vcpu::new(false);
    let modules = [Module {
        bytes: b"module",
        string: "name words",
    }];
    let files = Files {
        protocol: Some(Protocol::Multiboot),
        image,
        command_line: "command line",
        initrd: None,
        modules: &modules,
        text_screen: false,
    };
    load(&files, &mut memory, &mut vcpu)?;
    Ok((memory, vcpu))
}

fn error(image: &[u8]) -> LoadError {
    match load_into(image, MEMORY) {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error,
    }
}

fn text(memory: &GuestMemory, at: u32) -> String {
    (u64::from(at)..)
        .map_while(|at| memory.read_u8(Gpa(at)).filter(|byte| *byte != 0))
        .map(char::from)
        .collect()
}

#[test]
fn an_elf_kernel_goes_to_its_physical_addresses() {
    let (memory, vcpu) = load_into(&elf(3, 0x10_0010, &[one_segment()]), MEMORY).unwrap();
    assert_eq!(memory.read_u32(Gpa(0x10_0000)), Some(0x1bad_b002));
    assert_eq!(memory.read_u8(Gpa(0x10_01ff)), Some(0xcc));
    assert_eq!(memory.read_u8(Gpa(0x10_0200)), Some(0), "bss");
    assert_eq!(vcpu.save().rip, 0x10_0010);
}

#[test]
fn a_kernel_with_address_fields_goes_where_they_say() {
    let (memory, vcpu) = load_into(&kludge(), MEMORY).unwrap();
    assert_eq!(memory.read_u8(Gpa(0x10_003f)), Some(0x90));
    assert_eq!(vcpu.save().rip, 0x10_0020);
}

#[test]
fn a_virtual_entry_point_is_moved_with_its_segment() {
    let high = [LOAD, 0x200, 0xc010_0000, 0x10_0000, 0x200, 0x200, RX];
    let (_, vcpu) = load_into(&elf(3, 0xc010_0010, &[high]), MEMORY).unwrap();
    assert_eq!(vcpu.save().rip, 0x10_0010);
}

/// Multiboot 1 sections 3.2 and 3.3.
#[test]
fn the_boot_information_is_what_the_specification_promises() {
    let (memory, vcpu) = load_into(&kludge(), MEMORY).unwrap();
    assert_eq!(vcpu.save().rax, 0x2bad_b002);
    let info = vcpu.gprs.rbx;
    let word = |index: u64| memory.read_u32(Gpa(info + 4 * index)).unwrap();
    assert_eq!(
        word(0),
        0b10_0100_1101,
        "memory, command line, modules, map, loader"
    );
    assert_eq!((word(1), word(2)), (639, 1024));
    assert_eq!(text(&memory, word(4)), "command line");
    assert_eq!(text(&memory, word(16)), "Tollgate");

    assert_eq!(word(5), 1, "modules");
    let module = |index: u64| {
        memory
            .read_u32(Gpa(u64::from(word(6)) + 4 * index))
            .unwrap()
    };
    assert_eq!(module(0) % 4096, 0);
    assert_eq!(text(&memory, module(0)), "module");
    assert_eq!(module(1) - module(0), 6);
    assert_eq!(text(&memory, module(2)), "name words");

    assert_eq!(word(11), 72, "three entries of the map");
    let map = |index: u64| {
        memory
            .read_u32(Gpa(u64::from(word(12)) + 4 * index))
            .unwrap()
    };
    let entry = |n: u64| (map(6 * n), map(6 * n + 1), map(6 * n + 3), map(6 * n + 5));
    assert_eq!(entry(0), (20, 0, 0x9_fc00, 1));
    assert_eq!(entry(1), (20, 0x9_fc00, 0x6_0400, 2));
    assert_eq!(entry(2), (20, 0x10_0000, 0x10_0000, 1));
}

#[test]
fn what_is_wrong_with_an_image_is_said() {
    let segment = one_segment();
    let with = |index: usize, value: u32| {
        let mut program = segment;
        program[index] = value;
        elf(3, 0x10_0010, &[program])
    };
    let mut no_header = elf(3, 0x10_0010, &[segment]);
    no_header[0x200] = 0;
    let mut not_elf = elf(3, 0x10_0010, &[segment]);
    not_elf[0] = 0;
    let cases: [(&str, Vec<u8>, LoadError); 9] = [
        ("no header", no_header, LoadError::NoHeader),
        ("not an ELF", not_elf, LoadError::NotElf),
        (
            "for x86-64",
            elf(62, 0x10_0010, &[segment]),
            LoadError::WrongMachine(62),
        ),
        (
            "a segment beyond the file",
            with(4, 0x201),
            LoadError::Truncated {
                needs: 0x401,
                has: 0x400,
            },
        ),
        (
            "a segment beyond memory",
            with(3, 0x1f_f001),
            LoadError::DoesNotFit {
                start: 0x1f_f001,
                end: 0x20_0001,
                memory: MEMORY,
            },
        ),
        (
            "a segment over page 0",
            with(3, 0x10),
            LoadError::DoesNotFit {
                start: 0x10,
                end: 0x1010,
                memory: MEMORY,
            },
        ),
        (
            "two segments in one place",
            elf(
                3,
                0x10_0010,
                &[segment, [LOAD, 0x200, 0, 0x10_0800, 0, 0x1000, RX]],
            ),
            LoadError::Overlap(0x10_0800),
        ),
        (
            "an entry nowhere",
            elf(3, 0x50_0000, &[segment]),
            LoadError::BadEntry(0x50_0000),
        ),
        (
            "no segment",
            elf(3, 0x10_0010, &[]),
            LoadError::BadElf("no loadable segment"),
        ),
    ];
    for (name, image, expected) in cases {
        assert_eq!(error(&image), expected, "{name}");
    }
}

#[test]
fn a_truncated_elf_is_refused_at_any_length() {
    let image = elf(3, 0x10_0010, &[one_segment()]);
    for length in 0..image.len() {
        assert!(
            load_into(&image[..length], MEMORY).is_err(),
            "{length} bytes"
        );
    }
}

/// A linked image or a boot module may lie at any address, its program headers anywhere in it.
#[test]
fn an_elf_is_loaded_from_any_alignment() {
    let image = elf(3, 0x10_0010, &[one_segment()]);
    for shift in 0..8 {
        let mut shifted = vec![0; shift];
        shifted.extend(&image);
        assert!(load_into(&shifted[shift..], MEMORY).is_ok(), "{shift}");
    }
    let mut moved = image.clone();
    let headers: Vec<u8> = image[52..84].to_vec();
    moved[28..32].copy_from_slice(&0x301u32.to_le_bytes());
    moved[0x301..0x321].copy_from_slice(&headers);
    assert!(load_into(&moved, MEMORY).is_ok());
}

#[test]
fn a_feature_that_is_not_offered_is_refused() {
    let mut image = header(1 << 3, [0; 5]);
    image.resize(64, 0);
    assert_eq!(error(&image), LoadError::Feature(1 << 3));
}

#[test]
fn contradicting_address_fields_are_refused() {
    let fields = |fields| {
        let mut image = header(1 << 16, fields);
        image.resize(64, 0);
        error(&image)
    };
    assert_eq!(
        fields([0x1000, 0x2000, 0, 0, 0x2000]),
        LoadError::BadAddresses
    );
    assert_eq!(
        fields([0x2000, 0x1000, 0, 0, 0x2000]),
        LoadError::BadAddresses
    );
    assert_eq!(
        fields([0x2000, 0x2000, 0x1000, 0, 0x2000]),
        LoadError::BadAddresses
    );
    assert_eq!(
        fields([0x2000, 0x2000, 0, 0x2001, 0x2000]),
        LoadError::BadAddresses
    );
}

#[test]
fn the_vcpu_starts_in_a_state_that_vmrun_accepts() {
    let (_, mut vcpu) = load_into(&kludge(), MEMORY).unwrap();
    vcpu.control_mut().guest_asid = 1;
    vcpu.control_mut().intercept_misc2 = 1;
    vcpu.control_mut().nested_control = 1;
    assert_eq!(intercepts::vmcb::validate(vcpu.vmcb(), 1 << 40), Ok(()));
}

#[test]
fn a_kernel_is_known_by_its_file() {
    let mut linux = vec![0; 0x300];
    linux[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    linux[0x201..0x208].copy_from_slice(b"\x6aHdrS\x0f\x02");
    linux[0x211] = 1;
    let mut payload = elf(3, 0x10_0010, &[one_segment()]);
    payload[0x200] = 0;
    for (image, protocol) in [
        (linux, Some(Protocol::Linux32)),
        (kludge(), Some(Protocol::Multiboot)),
        (
            elf(3, 0x10_0010, &[one_segment()]),
            Some(Protocol::Multiboot),
        ),
        (payload, Some(Protocol::Coreboot)),
        (b"#!/bin/sh\n".to_vec(), None),
        (Vec::new(), None),
    ] {
        assert_eq!(Protocol::of(&image), protocol);
    }
}

#[test]
fn a_program_for_an_operating_system_is_no_payload() {
    const INTERP: u32 = 3;
    let mut image = elf(
        3,
        0x10_0010,
        &[one_segment(), [INTERP, 0x200, 0, 0, 1, 1, 4]],
    );
    image[0x200] = 0;
    let mut memory = leaked(MEMORY as usize);
    let files = Files {
        protocol: None,
        image: &image,
        command_line: "",
        initrd: None,
        modules: &[],
        text_screen: false,
    };
    let loaded = load(&files, &mut memory, &mut Vcpu::new(false));
    assert_eq!(loaded, Err(LoadError::Program));
}

proptest! {
    /// No bytes make the loader panic, whatever it says of them.
    #[test]
    fn any_bytes_are_loaded_or_refused(
        mut image in prop_oneof![Just(kludge()), Just(elf(3, 0x10_0010, &[one_segment()]))],
        shift in 0usize..8,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        for (place, value) in changes {
            let place = place.index(image.len().min(0x100));
            image[place] = value;
        }
        image.splice(..0, core::iter::repeat_n(0, shift));
        let _ = load_into(&image[shift..], MEMORY);
    }
}

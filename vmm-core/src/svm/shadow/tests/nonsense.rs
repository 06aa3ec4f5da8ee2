//! Tables, registers and addresses without sense.

use proptest::prelude::*;

use super::*;

/// One thing that a guest without sense does.
#[derive(Clone, Debug)]
enum Nonsense {
    Registers(u64, u64, u64, u64),
    Access(u64, u32),
    Invlpg(u64),
    Write(u64, u64),
}

fn nonsense() -> impl Strategy<Value = Nonsense> {
    // Addresses in memory, and any.
    let address = prop_oneof![0..FRAMES as u64 * PAGE, any::<u64>()];
    let entry = prop_oneof![any::<u64>(), 0..FRAMES as u64 * PAGE];
    let cr0 = prop_oneof![any::<u64>(), Just(CR0_PG | 1)];
    let efer = prop_oneof![any::<u64>(), Just(EFER_LMA), Just(EFER_LMA | EFER_NXE)];
    prop_oneof![
        1 => (cr0, address.clone(), any::<u64>(), efer)
            .prop_map(|(cr0, cr3, cr4, efer)| Nonsense::Registers(cr0, cr3, cr4, efer)),
        4 => (address.clone(), any::<u32>()).prop_map(|(at, how)| Nonsense::Access(at, how)),
        1 => address.prop_map(Nonsense::Invlpg),
        3 => (0..FRAMES as u64 * PAGE / 8, entry).prop_map(|(at, entry)| Nonsense::Write(at * 8, entry)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Memory full of random entries, any registers, any address: each access is mapped or told,
    /// at once, and no entry leads out of guest memory.
    #[test]
    fn no_table_and_no_register_leads_astray(
        seed: u64, tables in 5usize..TABLES_ENOUGH, steps in proptest::collection::vec(nonsense(), 1..200),
    ) {
        let (mut shadow, mut memory) = machine(tables);
        let mut random = seed | 1;
        for place in (0..FRAMES as u64 * PAGE).step_by(8) {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            // Mostly present, mostly in memory.
            let entry = if random >> 62 == 0 { random } else { random >> 20 & 0xf_f0ff | 1 };
            memory.write(Gpa(place), &entry.to_le_bytes());
        }
        shadow.activate(&memory, Registers::default());
        for step in steps {
            match step {
                Nonsense::Registers(cr0, cr3, cr4, efer) => {
                    shadow.activate(&memory, Registers { cr0, cr3, cr4, efer });
                }
                Nonsense::Access(linear, error) => {
                    // It panics if the same fault comes again and again.
                    access(&mut shadow, &mut memory, linear, Access::of(error));
                }
                Nonsense::Invlpg(linear) => shadow.invalidate(&memory, linear),
                Nonsense::Write(at, entry) => {
                    memory.take_written();
                    memory.write(Gpa(at), &entry.to_le_bytes());
                    let written = memory.take_written().unwrap();
                    prop_assert!(shadow.wrote(&memory, written));
                }
            }
            holds_together(&shadow);
        }
    }
}

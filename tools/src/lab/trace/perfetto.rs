//! A trace in Perfetto's own format: a track a VM, a slice an exit, and a counter of exits.
//!
//! The numbers of the fields are those of Perfetto's trace_packet.proto, track_event.proto,
//! track_descriptor.proto, counter_descriptor.proto and debug_annotation.proto.

use super::protobuf::Message;
use super::{Exit, Trace};

const PACKET: u64 = 1;

/// Fields of a TracePacket.
mod packet {
    pub const TIMESTAMP: u64 = 8;
    pub const SEQUENCE: u64 = 10;
    pub const EVENT: u64 = 11;
    pub const SEQUENCE_FLAGS: u64 = 13;
    pub const TRACK: u64 = 60;
}

/// Fields of a TrackDescriptor, and of a CounterDescriptor.
mod track {
    pub const UUID: u64 = 1;
    pub const NAME: u64 = 2;
    pub const PARENT: u64 = 5;
    pub const COUNTER: u64 = 8;
    pub const COUNTER_UNIT: u64 = 3;
    pub const UNIT_COUNT: u64 = 2;
}

/// Fields of a TrackEvent, and of a DebugAnnotation.
mod event {
    pub const ANNOTATION: u64 = 4;
    pub const TYPE: u64 = 9;
    pub const TRACK: u64 = 11;
    pub const CATEGORY: u64 = 22;
    pub const NAME: u64 = 23;
    pub const COUNTER_VALUE: u64 = 30;
    pub const BEGIN: u64 = 1;
    pub const END: u64 = 2;
    pub const COUNTER: u64 = 4;
    pub const NOTE_NAME: u64 = 10;
    pub const NOTE_NUMBER: u64 = 3;
    pub const NOTE_TEXT: u64 = 6;
    pub const NOTE_ADDRESS: u64 = 7;
}

/// All packets are of one sequence, whose state begins with the first.
const SEQUENCE: u64 = 1;
const STATE_CLEARED: u64 = 1;
/// The exits of a VM are counted once in so many ns.
const COUNTED_EVERY_NS: u64 = 1_000_000;

/// The file.
pub fn encode(trace: &Trace) -> Vec<u8> {
    let mut file = Message::default();
    for (index, vm) in trace.vms.iter().enumerate() {
        let (exits, counter) = tracks(index);
        describe(&mut file, exits, None, &format!("VM {}", vm.name));
        describe(&mut file, counter, Some(exits), "exits a millisecond");
    }
    let start = trace
        .vms
        .iter()
        .filter_map(|vm| vm.exits.first())
        .map(|exit| exit.time)
        .min()
        .unwrap_or(0);
    let ns = |time: u64| {
        let ticks = u128::from(time.saturating_sub(start));
        (ticks * 1_000_000_000 / u128::from(trace.tsc_hz.max(1))) as u64
    };
    for (index, vm) in trace.vms.iter().enumerate() {
        let (exits, counter) = tracks(index);
        for exit in &vm.exits {
            begin(&mut file, ns(exit.time), exits, exit);
            packet(
                &mut file,
                ns(exit.time.saturating_add(exit.cycles)),
                |packet| {
                    packet.message(packet::EVENT, |slice| {
                        slice
                            .number(event::TYPE, event::END)
                            .number(event::TRACK, exits);
                    });
                },
            );
        }
        for (at, count) in counts(vm.exits.iter().map(|exit| ns(exit.time))) {
            packet(&mut file, at, |packet| {
                packet.message(packet::EVENT, |sample| {
                    sample
                        .number(event::TYPE, event::COUNTER)
                        .number(event::TRACK, counter)
                        .number(event::COUNTER_VALUE, count);
                });
            });
        }
    }
    file.finish()
}

/// The tracks of a VM: its exits, and how many they are.
fn tracks(index: usize) -> (u64, u64) {
    let index = index as u64;
    (2 * index + 1, 2 * index + 2)
}

fn describe(file: &mut Message, uuid: u64, parent: Option<u64>, name: &str) {
    file.message(PACKET, |packet| {
        packet
            .number(packet::SEQUENCE, SEQUENCE)
            .number(packet::SEQUENCE_FLAGS, STATE_CLEARED)
            .message(packet::TRACK, |track| {
                track.number(track::UUID, uuid).text(track::NAME, name);
                if let Some(parent) = parent {
                    track.number(track::PARENT, parent);
                    track.message(track::COUNTER, |counter| {
                        counter.number(track::COUNTER_UNIT, track::UNIT_COUNT);
                    });
                }
            });
    });
}

fn packet(file: &mut Message, at: u64, fill: impl FnOnce(&mut Message)) {
    file.message(PACKET, |packet| {
        packet
            .number(packet::TIMESTAMP, at)
            .number(packet::SEQUENCE, SEQUENCE);
        fill(packet);
    });
}

fn begin(file: &mut Message, at: u64, track: u64, exit: &Exit) {
    packet(file, at, |packet| {
        packet.message(packet::EVENT, |slice| {
            slice
                .number(event::TYPE, event::BEGIN)
                .number(event::TRACK, track)
                .text(event::CATEGORY, "exit")
                .text(event::NAME, &exit.name);
            let mut note = |name: &str, field: u64, value: u64| {
                slice.message(event::ANNOTATION, |note| {
                    note.text(event::NOTE_NAME, name).number(field, value);
                });
            };
            note("number", event::NOTE_NUMBER, exit.number);
            note("cycles", event::NOTE_NUMBER, exit.cycles);
            for (name, value) in [
                ("code", exit.code),
                ("rip", exit.rip),
                ("exitinfo1", exit.info1),
                ("exitinfo2", exit.info2),
                ("rax", exit.rax),
                ("rcx", exit.rcx),
                ("eventinj", exit.event),
            ] {
                note(name, event::NOTE_ADDRESS, value);
            }
            slice.message(event::ANNOTATION, |note| {
                note.text(event::NOTE_NAME, "action")
                    .text(event::NOTE_TEXT, &exit.action);
            });
        });
    });
}

/// How many of these times are in each stretch of time, and 0 where a stretch without any begins.
fn counts(times: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut counts: Vec<(u64, u64)> = Vec::new();
    for time in times {
        let stretch = time / COUNTED_EVERY_NS * COUNTED_EVERY_NS;
        match counts.last_mut() {
            Some((at, count)) if *at == stretch => *count += 1,
            Some((at, _)) if *at + COUNTED_EVERY_NS < stretch => {
                let quiet = *at + COUNTED_EVERY_NS;
                counts.extend([(quiet, 0), (stretch, 1)]);
            }
            _ => counts.push((stretch, 1)),
        }
    }
    if let Some((at, _)) = counts.last() {
        counts.push((at + COUNTED_EVERY_NS, 0));
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::trace::tests::trace;

    #[test]
    fn exits_are_counted_by_stretches_of_time_and_gaps_are_zero() {
        let times = [10, 20, 1_500_000, 4_000_000];
        assert_eq!(
            counts(times.into_iter()),
            [
                (0, 2),
                (1_000_000, 1),
                (2_000_000, 0),
                (4_000_000, 1),
                (5_000_000, 0)
            ]
        );
        assert_eq!(counts([].into_iter()), []);
    }

    /// Each top-level field is a packet, and the lengths add up to the file.
    #[test]
    fn the_file_is_a_row_of_packets() {
        let bytes = encode(&trace());
        let mut rest = &bytes[..];
        let mut packets = 0;
        while let [tag, tail @ ..] = rest {
            assert_eq!(*tag, (PACKET << 3 | 2) as u8);
            let (mut length, mut shift, mut used) = (0usize, 0, 0);
            for byte in tail {
                used += 1;
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            rest = &tail[used + length..];
            packets += 1;
        }
        // Two tracks a VM, a begin and an end an exit, and two values of the counter.
        assert_eq!(packets, 2 * 2 + 2 * 3 + 2);
    }
}

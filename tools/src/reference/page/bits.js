"use strict";
// Numbers and bits: what the page shares with the decoder of the command line.

const hex = (value, bytes) => "0x" + value.toString(16).padStart(2 * bytes, "0");
const offsetName = (offset) => offset.toString(16).toUpperCase().padStart(3, "0") + "h";
const maskOf = (width) => (1n << BigInt(width)) - 1n;
const placeOf = (row) => (row.high === row.low ? `${row.low}` : `${row.high}:${row.low}`);

// 0x1f, 1fh or 31, with _ where it helps; null for anything else.
function number(text) {
  const plain = text.trim().replaceAll("_", "").toLowerCase();
  const digits = /^0x([0-9a-f]+)$/.exec(plain) ?? /^([0-9a-f]+)h$/.exec(plain);
  if (digits) return BigInt("0x" + digits[1]);
  return /^[0-9]+$/.test(plain) ? BigInt(plain) : null;
}

// A value cut into its bits; together they are the value again.
function cut(rows, bytes, value) {
  const all = rows.length ? rows : [{ name: null, high: 8 * bytes - 1, low: 0, meaning: "", values: [] }];
  return all.map((row) => {
    const part = (value >> BigInt(row.low)) & maskOf(row.high - row.low + 1);
    const choice = row.values.find(([of]) => BigInt(of) === part);
    return { row, value: part, standsFor: choice ? choice[1] : null };
  });
}

const encode = (parts) => parts.reduce((value, part) => value | (part.value << BigInt(part.row.low)), 0n);

// The bits that are not zero, a text each, as the command line writes them.
function words(rows, bytes, value) {
  const parts = cut(rows, bytes, value);
  if (parts.length === 1 && parts[0].row.name === null) return [];
  return parts
    .filter((part) => part.value !== 0n || (part.standsFor && part.row.high !== part.row.low))
    .map(({ row, value, standsFor }) => {
      const number = row.high === row.low ? "" : ` = 0x${value.toString(16)}`;
      const says = row.name === null ? "should be 0" : row.meaning + (standsFor ? `: ${standsFor}` : "");
      return `${placeOf(row)}  ${row.name ?? "reserved"}${number}: ${says}`;
    });
}

// The 4096 bytes that a dump in hexadecimal stands for; an Error with what is wrong in words.
// What the dump leaves out is zero. The formats are those of `cargo vmcb-docs --decode`.
function readDump(text) {
  const size = 4096;
  const isLog = text.includes("vmcb+");
  let vmcb = new Uint8Array(size);
  let next = 0;
  for (const line of text.split(/\r?\n/)) {
    const [, logged] = line.split(/vmcb\+(.*)/s);
    const row = isLog ? logged && withOffset(logged) : withOffset(line) ?? bare(line, next);
    if (!row) continue;
    if (isLog && row.offset < next) vmcb = new Uint8Array(size);
    if (row.offset + row.bytes.length > size) {
      throw new Error(`offset 0x${row.offset.toString(16)} is beyond a VMCB's ${size} bytes`);
    }
    vmcb.set(row.bytes, row.offset);
    next = row.offset + row.bytes.length;
  }
  if (next === 0) throw new Error("there is no VMCB in it: no line of hexadecimal bytes");
  return vmcb;
}

function withOffset(line) {
  const found = /^\s*([0-9a-f]+)(:?)([^0-9a-f].*)?$/i.exec(line);
  if (!found || (!found[2] && found[1].length < 5)) return null;
  const [row] = (found[3] ?? "").trimStart().split("|");
  const bytes = digits(found[2] ? row.split("  ")[0] : row);
  return bytes && { offset: parseInt(found[1], 16), bytes };
}

function bare(line, offset) {
  const bytes = digits(line);
  return bytes && { offset, bytes };
}

function digits(text) {
  const plain = text.replace(/\s+/g, "");
  if (plain === "" || plain.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(plain)) return null;
  return Uint8Array.from(plain.match(/../g), (byte) => parseInt(byte, 16));
}

// The number that a field of a VMCB holds.
const fieldOf = (vmcb, field) =>
  vmcb.subarray(field.offset, field.offset + field.bytes).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);

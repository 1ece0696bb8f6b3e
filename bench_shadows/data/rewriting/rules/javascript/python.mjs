// What Python does and JavaScript does not: the functions that converted programs import.
//
// An int is a number while it is a safe integer and a BigInt beyond; a float is a number; None is null; a list is
// an Array; a tuple a frozen Tuple; a dict a Dict and a set a PySet, whose keys are compared by value.

export class PyError extends Error {
  constructor(...args) {
    super(args.length ? str(args[0]) : "");
    this.args = Tuple.from(args);
    this.name = this.constructor.name;
  }
}
export class Exception extends PyError {}
export class ArithmeticError extends Exception {}
export class ZeroDivisionError extends ArithmeticError {}
export class OverflowError extends ArithmeticError {}
export class AssertionError extends Exception {}
export class AttributeError extends Exception {}
export class LookupError extends Exception {}
export class IndexError extends LookupError {}
export class KeyError extends LookupError {}
export class NotImplementedError extends Exception {}
export class RuntimeError extends Exception {}
export class StopIteration extends Exception {}
export class TypeError extends Exception {}
export class ValueError extends Exception {}

/** Whether `except kinds` catches the error; JavaScript's own errors stand for TypeError and AttributeError. */
export function caught(error, ...kinds) {
  const native = !(error instanceof PyError);
  return kinds.some((kind) => error instanceof kind || (native && [Exception, TypeError, AttributeError].includes(kind)));
}

export class Tuple extends Array {
  static get [Symbol.species]() {
    return Array;
  }
}
export const tuple = (items = []) => {
  const result = new Tuple();
  for (const item of iter(items)) result.push(item);
  return Object.freeze(result);
};

function key(value) {
  if (typeof value === "boolean") return Number(value);
  if (value instanceof Tuple) return "(" + value.map((item) => typeof item + String(key(item))).join(",") + ")";
  if (Array.isArray(value) || value instanceof Dict || value instanceof PySet)
    throw new TypeError(`unhashable type: '${typeName(value)}'`);
  return typeof value === "string" ? "'" + value : value;
}

export class Dict {
  constructor(pairs = []) {
    this.entries = new Map();
    for (const [name, value] of pairs) this.set(name, value);
  }
  get size() {
    return this.entries.size;
  }
  has(name) {
    return this.entries.has(key(name));
  }
  get(name) {
    return this.entries.get(key(name))?.[1];
  }
  set(name, value) {
    const old = this.entries.get(key(name));
    if (old) old[1] = value;
    else this.entries.set(key(name), [name, value]);
  }
  delete(name) {
    return this.entries.delete(key(name));
  }
  pairs() {
    return [...this.entries.values()].map(([name, value]) => tuple([name, value]));
  }
  keys() {
    return [...this.entries.values()].map((pair) => pair[0]);
  }
  values() {
    return [...this.entries.values()].map((pair) => pair[1]);
  }
  [Symbol.iterator]() {
    return live(this, this.keys(), "dictionary");
  }
}
export class PySet {
  constructor(items = []) {
    this.entries = new Map();
    for (const item of iter(items)) this.add(item);
  }
  get size() {
    return this.entries.size;
  }
  has(item) {
    return this.entries.has(key(item));
  }
  add(item) {
    if (!this.has(item)) this.entries.set(key(item), item);
  }
  delete(item) {
    return this.entries.delete(key(item));
  }
  values() {
    return [...this.entries.values()];
  }
  [Symbol.iterator]() {
    return live(this, this.values(), "Set");
  }
}
function* live(container, items, name) {
  for (const item of items) {
    const size = container.size;
    yield item;
    if (container.size !== size) throw new RuntimeError(`${name} changed size during iteration`);
  }
}
export const dict = (pairs = []) => new Dict(pairs instanceof Dict ? pairs.pairs() : list(pairs));
export const set = (items = []) => new PySet(items);

export function iter(items) {
  if (typeof items === "string") return Array.from(items);
  if (items === null || items === undefined || typeof items[Symbol.iterator] !== "function")
    throw new TypeError(`'${typeName(items)}' object is not iterable`);
  return items;
}
export const list = (items = []) => Array.from(iter(items));

const isNumber = (x) => typeof x === "number" || typeof x === "bigint" || typeof x === "boolean";
const isInt = (x) => typeof x === "bigint" || typeof x === "boolean" || Number.isSafeInteger(x);
const small = (big) => (big >= Number.MIN_SAFE_INTEGER && big <= Number.MAX_SAFE_INTEGER ? Number(big) : big);
const num = (x) => (typeof x === "boolean" ? Number(x) : x);
const bothInts = (a, b) => isInt(a) && isInt(b);

export function typeName(x) {
  if (x === null || x === undefined) return "NoneType";
  if (typeof x === "boolean") return "bool";
  if (typeof x === "string") return "str";
  if (isNumber(x)) return isInt(x) ? "int" : "float";
  if (x instanceof Tuple) return "tuple";
  if (Array.isArray(x)) return "list";
  if (x instanceof Dict) return "dict";
  if (x instanceof PySet) return "set";
  return x.constructor?.name ?? "object";
}
function unsupported(sign, a, b) {
  return new TypeError(`unsupported operand type(s) for ${sign}: '${typeName(a)}' and '${typeName(b)}'`);
}
function arithmetic(sign, onNumbers, onBigs) {
  return (a, b) => {
    if (!isNumber(a) || !isNumber(b)) throw unsupported(sign, a, b);
    [a, b] = [num(a), num(b)];
    if (typeof a === "number" && typeof b === "number") {
      const result = onNumbers(a, b);
      if (Number.isSafeInteger(result) || !bothInts(a, b)) return result;
    } else if (!bothInts(a, b)) return onNumbers(Number(a), Number(b));
    return small(onBigs(BigInt(a), BigInt(b)));
  };
}
const plus = arithmetic("+", (a, b) => a + b, (a, b) => a + b);
const minus = arithmetic("-", (a, b) => a - b, (a, b) => a - b);
const times = arithmetic("*", (a, b) => a * b, (a, b) => a * b);

export function add(a, b) {
  if (typeof a === "string" && typeof b === "string") return a + b;
  if (Array.isArray(a) && Array.isArray(b) && a instanceof Tuple === b instanceof Tuple)
    return a instanceof Tuple ? tuple([...a, ...b]) : [...a, ...b];
  return plus(a, b);
}
export function iadd(a, b) {
  if (!Array.isArray(a) || a instanceof Tuple) return add(a, b);
  for (const item of list(b)) a.push(item);
  return a;
}
export function sub(a, b) {
  if (a instanceof PySet && b instanceof PySet) return new PySet(a.values().filter((item) => !b.has(item)));
  return minus(a, b);
}
export function mul(a, b) {
  if (isNumber(a) && !isNumber(b)) [a, b] = [b, a];
  if (!isNumber(a) && isInt(b)) {
    const times = Math.max(0, Number(b));
    if (typeof a === "string") return a.repeat(times);
    if (Array.isArray(a)) {
      const items = Array.from({ length: times }, () => [...a]).flat();
      return a instanceof Tuple ? tuple(items) : items;
    }
  }
  return times(a, b);
}
export function div(a, b) {
  if (!isNumber(a) || !isNumber(b)) throw unsupported("/", a, b);
  if (Number(b) === 0) throw new ZeroDivisionError(bothInts(a, b) ? "division by zero" : "float division by zero");
  return typeof a === "bigint" || typeof b === "bigint" ? quotient(a, b) : Number(a) / Number(b);
}
/** a / b of integers beyond 2^53, rounded once: 66 bits of the quotient and a sticky bit. */
function quotient(a, b) {
  if (!bothInts(a, b)) return Number(a) / Number(b);
  [a, b] = [BigInt(a), BigInt(b)];
  const bits = (x) => BigInt((x < 0n ? -x : x).toString(2).length);
  const shift = bits(b) - bits(a) + 66n;
  const [top, bottom] = shift > 0n ? [a << shift, b] : [a, b << -shift];
  const sticky = top % bottom === 0n ? 0n : top < 0n === bottom < 0n ? 1n : -1n;
  const result = Number((top / bottom) * 2n + sticky) * 2 ** Number(-shift - 1n);
  if (!Number.isFinite(result)) throw new OverflowError("integer division result too large for a float");
  return result;
}
export function floordiv(a, b) {
  if (!isNumber(a) || !isNumber(b)) throw unsupported("//", a, b);
  if (Number(b) === 0) throw new ZeroDivisionError("integer division or modulo by zero");
  if (!bothInts(a, b)) return (Number(a) - mod(a, b)) / Number(b);
  [a, b] = [BigInt(a), BigInt(b)];
  const quotient = a / b;
  return small(a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient);
}
export function mod(a, b) {
  if (!isNumber(a) || !isNumber(b)) throw unsupported("%", a, b);
  if (Number(b) === 0) throw new ZeroDivisionError("integer modulo by zero");
  if (bothInts(a, b)) [a, b] = [BigInt(a), BigInt(b)];
  else [a, b] = [Number(a), Number(b)];
  let rest = a % b;
  if (rest != 0 && rest < 0 !== b < 0) rest += b;
  return typeof rest === "bigint" ? small(rest) : rest;
}
export const divmod = (a, b) => tuple([floordiv(a, b), mod(a, b)]);
export function pow(a, b, modulus = null) {
  if (!isNumber(a) || !isNumber(b)) throw unsupported("** or pow()", a, b);
  if (modulus !== null) {
    if (b < 0) [a, b] = [inverse(a, modulus), -b];
    let [base, exponent, result] = [BigInt(mod(a, modulus)), BigInt(b), 1n];
    for (; exponent > 0n; exponent >>= 1n) {
      if (exponent & 1n) result = (result * base) % BigInt(modulus);
      base = (base * base) % BigInt(modulus);
    }
    return mod(small(result), modulus);
  }
  if (bothInts(a, b) && b >= 0) return small(BigInt(a) ** BigInt(b));
  if (Number(a) === 0 && b < 0) throw new ZeroDivisionError("0.0 cannot be raised to a negative power");
  return power(Number(a), Number(b));
}
function inverse(a, modulus) {
  let [rest, next, one, other] = [modulus, mod(a, modulus), 0, 1];
  while (next != 0) {
    const times = floordiv(rest, next);
    [rest, next] = [next, sub(rest, mul(times, next))];
    [one, other] = [other, sub(one, mul(times, other))];
  }
  if (rest != 1) throw new ValueError("base is not invertible for the given modulus");
  return one;
}
/** x ** n as the C library rounds it: for small whole n in twice the precision, where V8 is a few units off. */
function power(x, n) {
  if (!Number.isInteger(n) || n < 2 || n > 64 || !Number.isFinite(x) || Math.abs(x) > 1e100 ** (1 / n)) return x ** n;
  let [high, low] = [x, 0];
  for (let i = 1; i < n; i++) {
    const [product, rest] = twoProduct(high, x);
    const tail = rest + low * x;
    [high, low] = [product + tail, tail - (product + tail - product)];
  }
  return high;
}
function twoProduct(a, b) {
  const split = (x) => {
    const c = 134217729 * x;
    return [c - (c - x), x - (c - (c - x))];
  };
  const [[a1, a2], [b1, b2]] = [split(a), split(b)];
  return [a * b, a2 * b2 - (a * b - a1 * b1 - a2 * b1 - a1 * b2)];
}
function bitwise(sign, onBigs, onSets) {
  return (a, b) => {
    if (onSets && a instanceof PySet && b instanceof PySet) return onSets(a, b);
    if (!bothInts(a, b)) throw unsupported(sign, a, b);
    const result = small(onBigs(BigInt(a), BigInt(b)));
    return typeof a === "boolean" && typeof b === "boolean" && onSets ? Boolean(result) : result;
  };
}
export const and = bitwise("&", (a, b) => a & b, (a, b) => new PySet(a.values().filter((item) => b.has(item))));
export const or = bitwise("|", (a, b) => a | b, (a, b) => new PySet([...a.values(), ...b.values()]));
export const xor = bitwise("^", (a, b) => a ^ b, (a, b) => sub(or(a, b), and(a, b)));
function shift(sign, onBigs) {
  const move = bitwise(sign, onBigs);
  return (a, b) => {
    if (b < 0) throw new ValueError("negative shift count");
    return move(a, b);
  };
}
export const shl = shift("<<", (a, b) => a << b);
export const shr = shift(">>", (a, b) => a >> b);
export const invert = (a) => sub(-1, a);
export function neg(a) {
  if (!isNumber(a)) throw new TypeError(`bad operand type for unary -: '${typeName(a)}'`);
  return typeof a === "boolean" ? -Number(a) : -a;
}

export function truth(x) {
  if (x === null || x === undefined) return false;
  if (typeof x === "string" || Array.isArray(x)) return x.length > 0;
  if (x instanceof Dict || x instanceof PySet) return x.size > 0;
  if (typeof x?.__bool__ === "function") return x.__bool__();
  if (typeof x?.__len__ === "function") return x.__len__() !== 0;
  return typeof x === "object" || Boolean(x);
}
export function eq(a, b) {
  if (isNumber(a) && isNumber(b)) return num(a) == num(b);
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b))
    return a instanceof Tuple === b instanceof Tuple && a.length === b.length && a.every((x, i) => eq(x, b[i]));
  if (a instanceof Dict && b instanceof Dict)
    return a.size === b.size && a.pairs().every(([name, value]) => b.has(name) && eq(value, b.get(name)));
  if (a instanceof PySet && b instanceof PySet) return a.size === b.size && a.values().every((item) => b.has(item));
  return typeof a?.__eq__ === "function" ? truth(a.__eq__(b)) : false;
}
function order(sign, a, b) {
  if (isNumber(a) && isNumber(b)) return num(a) < num(b) ? -1 : num(a) > num(b) ? 1 : num(a) == num(b) ? 0 : NaN;
  if (typeof a === "string" && typeof b === "string") [a, b] = [codes(a), codes(b)];
  else if (!Array.isArray(a) || !Array.isArray(b) || a instanceof Tuple !== b instanceof Tuple)
    throw new TypeError(`'${sign}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
  for (let i = 0; i < a.length && i < b.length; i++) if (!eq(a[i], b[i])) return order(sign, a[i], b[i]);
  return a.length - b.length;
}
const codes = (text) => Array.from(text, (character) => character.codePointAt(0));
const subset = (a, b) => a.values().every((item) => b.has(item));
const sets = (a, b) => a instanceof PySet && b instanceof PySet;
export const lt = (a, b) => (sets(a, b) ? a.size < b.size && subset(a, b) : order("<", a, b) < 0);
export const le = (a, b) => (sets(a, b) ? subset(a, b) : order("<=", a, b) <= 0);
export const gt = (a, b) => (sets(a, b) ? lt(b, a) : order(">", a, b) > 0);
export const ge = (a, b) => (sets(a, b) ? le(b, a) : order(">=", a, b) >= 0);
export function contains(items, x) {
  if (typeof items === "string") {
    if (typeof x !== "string") throw new TypeError("'in <string>' requires string as left operand");
    return items.includes(x);
  }
  if (items instanceof Dict || items instanceof PySet) return items.has(x);
  return list(items).some((item) => eq(item, x));
}
export const both = (a, b) => (truth(a) ? b() : a);
export const either = (a, b) => (truth(a) ? a : b());

const wide = /[\ud800-\udfff]/;
const units = (text) => (wide.test(text) ? Array.from(text) : text);
export function len(x) {
  if (typeof x === "string") return units(x).length;
  if (Array.isArray(x)) return x.length;
  if (x instanceof Dict || x instanceof PySet) return x.size;
  if (typeof x?.__len__ === "function") return x.__len__();
  throw new TypeError(`object of type '${typeName(x)}' has no len()`);
}
function position(items, index) {
  if (!isInt(index)) throw new TypeError(`${typeName(items)} indices must be integers or slices, not ${typeName(index)}`);
  const at = Number(index) < 0 ? Number(index) + items.length : Number(index);
  if (at < 0 || at >= items.length) throw new IndexError(`${typeName(items)} index out of range`);
  return at;
}
export function at(items, index) {
  if (items instanceof Dict) {
    if (!items.has(index)) throw new KeyError(index);
    return items.get(index);
  }
  if (typeof items === "string") {
    const place = position(units(items), index);
    return units(items)[place];
  }
  if (Array.isArray(items)) return items[position(items, index)];
  throw new TypeError(`'${typeName(items)}' object is not subscriptable`);
}
export function put(items, index, value) {
  if (items instanceof Dict) items.set(index, value);
  else if (Array.isArray(items) && !(items instanceof Tuple)) items[position(items, index)] = value;
  else throw new TypeError(`'${typeName(items)}' object does not support item assignment`);
}
export function del(items, index) {
  if (items instanceof Dict) {
    if (!items.delete(index)) throw new KeyError(index);
  } else items.splice(position(items, index), 1);
}
function bounds(length, start, stop, step) {
  const clip = (value, otherwise, low, high) => {
    if (value === null) return otherwise;
    if (!isInt(value)) throw new TypeError("slice indices must be integers or None or have an __index__ method");
    return Math.min(Math.max(Number(value) < 0 ? Number(value) + length : Number(value), low), high);
  };
  if (step > 0) return [clip(start, 0, 0, length), clip(stop, length, 0, length)];
  return [clip(start, length - 1, -1, length - 1), clip(stop, -1, -1, length - 1)];
}
export function slice(items, start, stop, step = null) {
  if (typeof items !== "string" && !Array.isArray(items)) throw new TypeError(`'${typeName(items)}' object is not subscriptable`);
  step = step === null ? 1 : Number(step);
  if (step === 0) throw new ValueError("slice step cannot be zero");
  const from = units(items);
  const [first, last] = bounds(from.length, start, stop, step);
  const result = [];
  for (let i = first; step > 0 ? i < last : i > last; i += step) result.push(from[i]);
  return typeof items === "string" ? result.join("") : items instanceof Tuple ? tuple(result) : result;
}
export function putSlice(items, start, stop, values) {
  const [first, last] = bounds(items.length, start, stop, 1);
  items.splice(first, Math.max(0, last - first), ...list(values));
}
export function unpack(items, count) {
  const values = list(items);
  if (values.length > count) throw new ValueError(`too many values to unpack (expected ${count})`);
  if (values.length < count) throw new ValueError(`not enough values to unpack (expected ${count}, got ${values.length})`);
  return values;
}

export function* steps(start, stop = null, step = 1) {
  if (stop === null) [start, stop] = [0, start];
  for (const bound of [start, stop, step])
    if (!isInt(bound)) throw new TypeError(`'${typeName(bound)}' object cannot be interpreted as an integer`);
  if (step === 0) throw new ValueError("range() arg 3 must not be zero");
  for (let i = Number(start); step > 0 ? i < stop : i > stop; i += Number(step)) yield i;
}
export const range = (...bounds) => [...steps(...bounds)];
export function* enumerate(items, start = 0) {
  let index = start;
  for (const item of iter(items)) yield tuple([index++, item]);
}
export function* zip(...columns) {
  const readers = columns.map((column) => iter(column)[Symbol.iterator]());
  for (;;) {
    const row = [];
    for (const reader of readers) {
      const { done, value } = reader.next();
      if (done) return;
      row.push(value);
    }
    if (!row.length) return;
    yield tuple(row);
  }
}
export function* map(f, ...columns) {
  for (const row of zip(...columns)) yield f(...row);
}
export function* filter(f, items) {
  for (const item of iter(items)) if (truth(f === null ? item : f(item))) yield item;
}
export const reversed = (items) => list(items instanceof Dict ? items.keys() : items).reverse();
export function sorted(items, by = null, reverse = false) {
  const keyed = list(items).map((item) => [by === null ? item : by(item), item]);
  const sign = truth(reverse) ? -1 : 1;
  return keyed.sort((a, b) => sign * (order("<", a[0], b[0]) || 0)).map((pair) => pair[1]);
}
export function sum(items, start = 0) {
  let total = start;
  for (const item of iter(items)) total = add(total, item);
  return total;
}
function extreme(name, better) {
  return (items, by = null, ...otherwise) => {
    let best;
    let found = false;
    for (const item of iter(items)) {
      if (!found || better(by === null ? item : by(item), by === null ? best : by(best))) best = item;
      found = true;
    }
    if (found) return best;
    if (otherwise.length) return otherwise[0];
    throw new ValueError(`${name}() iterable argument is empty`);
  };
}
export const min = extreme("min", lt);
export const max = extreme("max", gt);
export const any = (items) => list(items).some(truth);
export const all = (items) => list(items).every(truth);
export function abs(x) {
  if (!isNumber(x)) throw new TypeError(`bad operand type for abs(): '${typeName(x)}'`);
  return x < 0 ? -x : num(x);
}
export function round(x, digits = null) {
  if (!isNumber(x)) throw new TypeError(`type ${typeName(x)} doesn't define __round__ method`);
  if (isInt(x) && (digits === null || digits >= 0)) return num(x);
  if (digits === null) {
    const low = Math.floor(x);
    const rest = x - low;
    if (!Number.isFinite(x)) return int(x);
    return small(BigInt(rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1));
  }
  return Number(fixed(x, digits));
}
export function ord(text) {
  if (len(text) !== 1) throw new TypeError("ord() expected a character");
  return text.codePointAt(0);
}
export function chr(code) {
  if (code < 0 || code > 0x10ffff) throw new ValueError("chr() arg not in range(0x110000)");
  return String.fromCodePoint(Number(code));
}
export function int(x = 0, base = 10) {
  if (isNumber(x)) {
    if (!isInt(x) && !Number.isFinite(x)) throw new (Number.isNaN(x) ? ValueError : OverflowError)("cannot convert float to integer");
    return isInt(x) ? num(x) : small(BigInt(Math.trunc(x)));
  }
  if (typeof x !== "string") throw new TypeError(`int() argument must be a string, not '${typeName(x)}'`);
  const digits = strip(x).toLowerCase().replace({ 2: /^([+-]?)0b/, 8: /^([+-]?)0o/, 16: /^([+-]?)0x/ }[base] ?? /(?!)/, "$1");
  const body = digits.replace(/^[+-]/, "");
  const valid = /^[0-9a-z]+(_[0-9a-z]+)*$/.test(body) && [...body.replace(/_/g, "")].every((d) => parseInt(d, 36) < base);
  if (!valid) throw new ValueError(`invalid literal for int() with base ${base}: ${repr(x)}`);
  let value = 0n;
  for (const digit of body.replace(/_/g, "")) value = value * BigInt(base) + BigInt(parseInt(digit, 36));
  return small(digits.startsWith("-") ? -value : value);
}
export function float(x = 0) {
  if (isNumber(x)) return Number(x);
  const text = strip(x).toLowerCase();
  if (/^[+-]?(inf|infinity)$/.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  if (/^[+-]?nan$/.test(text)) return NaN;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(text)) throw new ValueError(`could not convert string to float: ${repr(x)}`);
  return Number(text);
}
function inBase(base, prefix) {
  return (x) => (x < 0 ? "-" : "") + prefix + abs(x).toString(base);
}
export const bin = inBase(2, "0b");
export const oct = inBase(8, "0o");
export const hex = inBase(16, "0x");

/** A float as Python writes it: 3.0, 1e+16, 1e-05. */
export function floatRepr(x) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf";
  const size = Math.abs(x);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    const [digits, exponent] = x.toExponential().split("e");
    return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
  }
  return Object.is(x, -0) ? "-0.0" : Number.isInteger(x) ? `${x}.0` : String(x);
}
export const str = (x = "") => (typeof x === "string" ? x : typeof x?.__str__ === "function" ? x.__str__() : x instanceof PyError ? errorText(x) : repr(x));
const errorText = (error) => (error instanceof KeyError && error.args.length ? repr(error.args[0]) : error.message);
export function repr(x) {
  if (x === null || x === undefined) return "None";
  if (typeof x === "boolean") return x ? "True" : "False";
  if (typeof x === "string") return quoted(x);
  if (isNumber(x)) return isInt(x) ? String(x === 0 ? 0 : x) : floatRepr(x);
  if (x instanceof Tuple) return x.length === 1 ? `(${repr(x[0])},)` : `(${x.map(repr).join(", ")})`;
  if (Array.isArray(x)) return `[${x.map(repr).join(", ")}]`;
  if (x instanceof Dict) return `{${x.pairs().map(([name, value]) => `${repr(name)}: ${repr(value)}`).join(", ")}}`;
  if (x instanceof PySet) return x.size ? `{${x.values().map(repr).join(", ")}}` : "set()";
  if (typeof x?.__repr__ === "function") return x.__repr__();
  if (x instanceof PyError) return `${x.name}(${x.args.map(repr).join(", ")})`;
  throw new TypeError(`no text for a value of type '${typeName(x)}'`);
}
const ESCAPES = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };
function quoted(text) {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const hex = (c) => (c < "\u0100" ? "\\x" + c.charCodeAt(0).toString(16).padStart(2, "0") : "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
  const body = text.replace(/[\n\r\t\\]/g, (c) => ESCAPES[c]).replace(/[\x00-\x1f\x7f-\xa0\xad]/g, hex).replaceAll(quote, "\\" + quote);
  return quote + body + quote;
}
export function print(items, separator = " ", end = "\n") {
  process.stdout.write(items.map(str).join(separator ?? " ") + (end ?? "\n"));
}

/** x with so many digits after the point, exact ties to even, as Python and C do (toFixed rounds ties up). */
function fixed(x, digits) {
  if (!Number.isFinite(x)) return floatRepr(x);
  if (digits > 0) {
    const text = Math.abs(x) < 1e21 ? x.toFixed(Math.min(100, digits)) : String(BigInt(x)) + "." + "0".repeat(digits);
    const tie = Math.abs(x) < 1e15 && digits < 20 && (Math.abs(x) * 2 ** 40) % 1 === 0 && Number.isInteger(Math.abs(x) * 10 ** digits * 2) && !Number.isInteger(Math.abs(x) * 10 ** digits);
    if (!tie) return text;
    const scaled = round(Math.abs(x) * 10 ** digits);
    const figures = String(scaled).padStart(digits + 1, "0");
    return (x < 0 ? "-" : "") + figures.slice(0, -digits) + "." + figures.slice(-digits);
  }
  const scale = 10 ** -digits;
  return String(round(x / scale) * scale);
}
const SPEC = /^(?:(.)?([<>=^]))?([+\- ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([bcdeEfFgGnosxX%])?$/u;
/** format(value, spec) for strings, ints and floats. */
export function format(value, spec, isFloat = false) {
  if (spec === "") return isFloat && typeof value === "number" ? floatRepr(value) : str(value);
  const match = SPEC.exec(spec);
  if (!match) throw new ValueError("Invalid format specifier");
  let [, fill, align, sign, alternate, zero, width, group, precision, type] = match;
  const number = isNumber(value) && type !== "s";
  let text;
  let mark = "";
  if (number) {
    value = num(value);
    const negative = value < 0 || Object.is(value, -0);
    const size = negative ? -value : value;
    if (["b", "o", "x", "X", "d", "n", "c"].includes(type) && (isFloat || !isInt(value))) throw new ValueError(`Unknown format code '${type}' for object of type 'float'`);
    if (type === "c") text = chr(value);
    else if (["b", "o", "x", "X"].includes(type)) {
      text = size.toString({ b: 2, o: 8, x: 16, X: 16 }[type]);
      text = (alternate ? "0" + type : "") + (type === "X" ? text.toUpperCase() : text);
    } else if (type === "f" || type === "F") text = fixed(Number(size), Number(precision ?? 6)).replace(/^-/, "");
    else if (type === "%") text = fixed(Number(size) * 100, Number(precision ?? 6)) + "%";
    else if (type === "e" || type === "E") text = exponential(Number(size), Number(precision ?? 6));
    else if (precision !== undefined || type === "g" || type === "G") text = general(Number(size), Number(precision ?? 6), !type);
    else text = isFloat || !isInt(size) ? floatRepr(size) : String(size);
    if (type === "E" || type === "G") text = text.toUpperCase();
    if (group) text = text.replace(/^\d+/, (digits) => digits.replace(/\B(?=(\d{3})+$)/g, group));
    mark = negative && !(isInt(value) && value == 0 && !isFloat) ? "-" : sign === "+" || sign === " " ? sign : "";
  } else {
    if (type && type !== "s") throw new ValueError(`Unknown format code '${type}' for object of type '${typeName(value)}'`);
    if (value === null || typeof value === "object") throw new TypeError("unsupported format string");
    text = str(value);
    if (precision !== undefined) text = slice(text, 0, Number(precision));
  }
  const padding = Math.max(0, Number(width ?? 0) - len(mark + text));
  if (zero && !align) [fill, align] = ["0", number ? "=" : "<"];
  fill ??= " ";
  if (align === "=") return mark + fill.repeat(padding) + text;
  if (align === "^") return fill.repeat(padding >> 1) + mark + text + fill.repeat(padding - (padding >> 1));
  return (align ?? (number ? ">" : "<")) === ">" ? fill.repeat(padding) + mark + text : mark + text + fill.repeat(padding);
}
function exponential(x, precision) {
  if (!Number.isFinite(x)) return floatRepr(x);
  const [digits, exponent] = x.toExponential(precision).split("e");
  return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}
function general(x, precision, point) {
  if (!Number.isFinite(x)) return floatRepr(x);
  precision = precision || 1;
  const exponent = x === 0 ? 0 : Number(x.toExponential(precision - 1).split("e")[1]);
  const short = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (exponent < -4 || exponent >= precision) {
    const [digits, rest] = exponential(x, precision - 1).split("e");
    return `${short(digits)}e${rest}`;
  }
  const text = short(x.toFixed(Math.max(0, precision - 1 - exponent)));
  return point && !text.includes(".") ? text + ".0" : text;
}

const SPACE = "[\\s\\x1c-\\x1f\\x85]";
const strip = (text, which = null, left = true, right = true) => {
  const inside = which === null ? SPACE : which === "" ? "(?!)" : "[" + which.replace(/[\\\]^-]/g, "\\$&") + "]";
  if (left) text = text.replace(new RegExp(`^(?:${inside})+`, "u"), "");
  return right ? text.replace(new RegExp(`(?:${inside})+$`, "u"), "") : text;
};
const LETTER = /^[\p{L}]+$/u;
const places = (text, part) => {
  const found = [];
  for (let i = text.indexOf(part); i >= 0; i = text.indexOf(part, i + part.length)) found.push(i);
  return found;
};
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1).toLowerCase();
const STRING = {
  upper: (text) => text.toUpperCase(),
  lower: (text) => text.toLowerCase(),
  capitalize: (text) => capital(text),
  title: (text) => text.replace(/\p{L}+/gu, capital),
  swapcase: (text) => Array.from(text, (c) => (c === c.toUpperCase() ? c.toLowerCase() : c.toUpperCase())).join(""),
  strip: (text, which) => strip(text, which),
  lstrip: (text, which) => strip(text, which, true, false),
  rstrip: (text, which) => strip(text, which, false, true),
  split(text, by = null, limit = -1) {
    if (by === "") throw new ValueError("empty separator");
    let parts = by === null ? strip(text).split(new RegExp(`${SPACE}+`)) : text.split(by);
    if (by === null && strip(text) === "") return [];
    if (limit >= 0 && parts.length > limit + 1) {
      if (by === null) throw new NotImplementedError("split(None, limit)");
      parts = [...parts.slice(0, limit), parts.slice(limit).join(by)];
    }
    return parts;
  },
  rsplit(text, by = null, limit = -1) {
    const parts = STRING.split(text, by);
    if (limit < 0 || parts.length <= limit + 1) return parts;
    return [parts.slice(0, parts.length - limit).join(by), ...parts.slice(parts.length - limit)];
  },
  splitlines: (text) => (text === "" ? [] : text.replace(/(\r\n|[\n\r])$/, "").split(/\r\n|[\n\r]/)),
  partition(text, by) {
    const i = text.indexOf(by);
    return tuple(i < 0 ? [text, "", ""] : [text.slice(0, i), by, text.slice(i + by.length)]);
  },
  rpartition(text, by) {
    const i = text.lastIndexOf(by);
    return tuple(i < 0 ? ["", "", text] : [text.slice(0, i), by, text.slice(i + by.length)]);
  },
  join(text, items) {
    const parts = list(items);
    const wrong = parts.findIndex((part) => typeof part !== "string");
    if (wrong >= 0) throw new TypeError(`sequence item ${wrong}: expected str instance, ${typeName(parts[wrong])} found`);
    return parts.join(text);
  },
  startswith: (text, start) => (Array.isArray(start) ? start : [start]).some((one) => text.startsWith(one)),
  endswith: (text, end) => (Array.isArray(end) ? end : [end]).some((one) => text.endsWith(one)),
  find(text, part, start = 0) {
    const from = Number(start) < 0 ? Math.max(0, len(text) + Number(start)) : Number(start);
    if (from > len(text)) return -1;
    const before = slice(text, 0, from);
    const i = text.indexOf(part, before.length);
    return i < 0 ? -1 : len(text.slice(0, i));
  },
  rfind(text, part) {
    const i = text.lastIndexOf(part);
    return i < 0 ? -1 : len(text.slice(0, i));
  },
  index(text, part, start = 0) {
    const i = STRING.find(text, part, start);
    if (i < 0) throw new ValueError("substring not found");
    return i;
  },
  count: (text, part) => (part === "" ? len(text) + 1 : places(text, part).length),
  replace(text, old, by, limit = -1) {
    if (limit < 0) return old === "" ? by + Array.from(text, (c) => c + by).join("") : text.replaceAll(old, () => by);
    const parts = text.split(old);
    return parts.slice(0, limit + 1).join(by) + parts.slice(limit + 1).map((part) => old + part).join("");
  },
  isdigit: (text) => /^\p{Nd}+$/u.test(text),
  isdecimal: (text) => /^\p{Nd}+$/u.test(text),
  isnumeric: (text) => /^\p{N}+$/u.test(text),
  isalpha: (text) => LETTER.test(text),
  isalnum: (text) => /^[\p{L}\p{N}]+$/u.test(text),
  isspace: (text) => new RegExp(`^${SPACE}+$`).test(text),
  isupper: (text) => /\p{Lu}/u.test(text) && !/\p{Ll}/u.test(text),
  islower: (text) => /\p{Ll}/u.test(text) && !/\p{Lu}/u.test(text),
  zfill(text, width) {
    const mark = /^[+-]/.exec(text)?.[0] ?? "";
    return mark + "0".repeat(Math.max(0, width - len(text))) + text.slice(mark.length);
  },
  ljust: (text, width, fill = " ") => text + fill.repeat(Math.max(0, width - len(text))),
  rjust: (text, width, fill = " ") => fill.repeat(Math.max(0, width - len(text))) + text,
  center(text, width, fill = " ") {
    const room = Math.max(0, width - len(text));
    const left = (room >> 1) + (room & width & 1);
    return fill.repeat(left) + text + fill.repeat(room - left);
  },
  removeprefix: (text, start) => (start && text.startsWith(start) ? text.slice(start.length) : text),
  removesuffix: (text, end) => (end && text.endsWith(end) ? text.slice(0, -end.length) : text),
};
function where(items, x) {
  const i = items.findIndex((item) => eq(item, x));
  if (i < 0) throw new ValueError(`${repr(x)} is not in list`);
  return i;
}
const TUPLE = {
  index: (items, x) => where(items, x),
  count: (items, x) => items.filter((item) => eq(item, x)).length,
};
const LIST = {
  ...TUPLE,
  append: (items, x) => (items.push(x), null),
  extend: (items, more) => (iadd(items, more), null),
  insert(items, index, x) {
    items.splice(Number(index) < 0 ? Math.max(0, Number(index) + items.length) : Number(index), 0, x);
    return null;
  },
  pop(items, index = -1) {
    if (!items.length) throw new IndexError("pop from empty list");
    return items.splice(position(items, index), 1)[0];
  },
  remove: (items, x) => (items.splice(where(items, x), 1), null),
  clear: (items) => ((items.length = 0), null),
  copy: (items) => [...items],
  reverse: (items) => (items.reverse(), null),
  sort(items, by = null, reverse = false) {
    items.splice(0, items.length, ...sorted(items, by, reverse));
    return null;
  },
};
const DICT = {
  get: (items, name, otherwise = null) => (items.has(name) ? items.get(name) : otherwise),
  keys: (items) => items.keys(),
  values: (items) => items.values(),
  items: (items) => items.pairs(),
  copy: (items) => dict(items),
  clear: (items) => (items.entries.clear(), null),
  update(items, more) {
    for (const [name, value] of dict(more).pairs()) items.set(name, value);
    return null;
  },
  setdefault(items, name, value = null) {
    if (!items.has(name)) items.set(name, value);
    return items.get(name);
  },
  pop(items, name, ...otherwise) {
    if (!items.has(name) && !otherwise.length) throw new KeyError(name);
    const value = items.has(name) ? items.get(name) : otherwise[0];
    items.delete(name);
    return value;
  },
};
const SET = {
  add: (items, x) => (items.add(x), null),
  discard: (items, x) => (items.delete(x), null),
  remove(items, x) {
    if (!items.delete(x)) throw new KeyError(x);
    return null;
  },
  copy: (items) => set(items),
  clear: (items) => (items.entries.clear(), null),
  update: (items, ...more) => (more.flatMap(list).forEach((x) => items.add(x)), null),
  union: (items, ...more) => more.reduce((sum, one) => or(sum, set(one)), set(items)),
  intersection: (items, ...more) => more.reduce((rest, one) => and(rest, set(one)), set(items)),
  difference: (items, ...more) => more.reduce((rest, one) => sub(rest, set(one)), set(items)),
  symmetric_difference: (items, more) => xor(items, set(more)),
  issubset: (items, more) => subset(items, set(more)),
  issuperset: (items, more) => subset(set(more), items),
  isdisjoint: (items, more) => and(items, set(more)).size === 0,
};
const NUMBER = {
  bit_length: (x) => (num(x) == 0 ? 0 : abs(x).toString(2).length),
  is_integer: (x) => Number.isInteger(Number(x)),
};
const BUILTIN = { int: NUMBER, float: NUMBER, str: STRING, list: LIST, tuple: TUPLE, dict: DICT, set: SET };
/** Calls a method of a built-in type, or the object's own. */
export function call(object, name, ...args) {
  const methods = BUILTIN[typeName(object)];
  if (methods) {
    if (!Object.hasOwn(methods, name)) throw new AttributeError(`'${typeName(object)}' object has no attribute '${name}'`);
    return methods[name](object, ...args);
  }
  if (typeof object?.[name] !== "function") throw new AttributeError(`'${typeName(object)}' object has no attribute '${name}'`);
  return object[name](...args);
}

function domain(condition) {
  if (!condition) throw new ValueError("math domain error");
}
export const math = {
  pi: Math.PI, e: Math.E, tau: 2 * Math.PI, inf: Infinity, nan: NaN,
  sqrt: (x) => (domain(x >= 0), Math.sqrt(Number(x))),
  floor: (x) => (isInt(x) ? num(x) : int(Math.floor(x))),
  ceil: (x) => (isInt(x) ? num(x) : int(Math.ceil(x))),
  trunc: (x) => int(x),
  fabs: (x) => Math.abs(Number(x)),
  gcd(a, b) {
    [a, b] = [abs(a), abs(b)];
    while (b != 0) [a, b] = [b, mod(a, b)];
    return a;
  },
  factorial(n) {
    if (n < 0) throw new ValueError("factorial() not defined for negative values");
    return range(1, n + 1).reduce(mul, 1);
  },
  isqrt(n) {
    if (n < 0) throw new ValueError("isqrt() argument must be nonnegative");
    let root = BigInt(Math.floor(Math.sqrt(Number(n))));
    while (root * root > BigInt(n)) root -= 1n;
    while ((root + 1n) * (root + 1n) <= BigInt(n)) root += 1n;
    return small(root);
  },
  isnan: (x) => Number.isNaN(Number(x)),
  isinf: (x) => Math.abs(Number(x)) === Infinity,
};

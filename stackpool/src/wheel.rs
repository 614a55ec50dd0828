//! Deadlines: a hierarchical timer wheel whose lists run through the slots.
//!
//! ```text
//! level      0        1        2         3      ...      7
//! bucket     1 tick   8        64        512             2,097,152 ticks      64 buckets each
//! reach      63       504      4,032     32,256          132 million ticks (12 days)
//! at 8 ms    0.5 s    4 s      32 s      4 min           later ones are looked at on the way
//! ```
//!
//! Two rules make it cheap and exact:
//!
//! - **The deadline field of the slot is the truth; a place in a bucket is a promise to look at it in time.** A bucket fires
//!   at its first tick. Then every slot in it is looked at: expired, linked again nearer to its deadline, or let go.
//! - So a deadline that moves **later** is one write, and no list is touched: the promise still holds. The same goes for
//!   [`disarm`](Wheel::disarm) and for [`StackPool::release`], which merely clear the field; a released slot is never
//!   reported, and one that is acquired again before its old bucket fires uses that place again. Only a deadline that moves
//!   to before the slot's bucket relinks it.
//!
//! A slot is looked at once per level on its way, which for a deadline half a minute away is twice. A bucket that is the
//! next of its level to fire is emptied a few slots per tick beforehand, so that wide buckets cause no long turn.

use std::time::Duration;

use crate::pool::StackPool;
use crate::slot::{NEVER, NONE, SlotState};

/// The width of a tick: what a deadline may be late.
pub const WHEEL_TICK: Duration = Duration::from_millis(8);

/// The largest tick that [`Wheel::advance`] takes: 18 million years.
pub const TICK_MAX: u64 = 1 << 56;

const LEVELS: usize = 8;
/// Each level's buckets are 2^3 as wide as those of the level below.
const LEVEL_SHIFT: u32 = 3;
const BUCKET_BITS: u32 = 6;
/// The farthest bucket of a level, counted from the current one. The current one itself has fired.
const AHEAD_MAX: u64 = (1 << BUCKET_BITS) - 1;
/// How many slots of the next bucket of a level are looked at ahead of time, per tick.
const AHEAD_PER_TICK: u64 = 256;
/// For at most so many ticks at once, so that a jump of time is no long turn either.
const AHEAD_TICKS_MAX: u64 = 4;
/// The list of slots that were armed with a deadline in the past. It is looked at by every advance.
const OVERDUE: u32 = (LEVELS as u32) << BUCKET_BITS;
const LISTS: usize = OVERDUE as usize + 1;

/// The tick that time `since_start` lies in: for the present.
///
/// ```
/// use std::time::Duration;
/// use sws_stackpool::wheel::{tick_ceil, tick_floor};
///
/// let now = Duration::from_millis(20);
/// assert_eq!(tick_floor(now), 2);
/// assert_eq!(tick_ceil(now), 3);
/// ```
#[inline]
pub fn tick_floor(since_start: Duration) -> u64 {
    (since_start.as_nanos() / WHEEL_TICK.as_nanos()) as u64
}

/// The first tick that does not begin before time `since_start`: for a deadline, so that it is never early.
#[inline]
pub fn tick_ceil(since_start: Duration) -> u64 {
    since_start.as_nanos().div_ceil(WHEEL_TICK.as_nanos()) as u64
}

/// When tick `tick` begins, since the start: for how long to sleep. A time beyond [`Duration::MAX`] is that.
#[inline]
pub fn tick_start(tick: u64) -> Duration {
    let nanos_per_second = 1_000_000_000;
    let nanos = u128::from(tick) * WHEEL_TICK.as_nanos();
    // A u64 of ticks has at most a u64 of seconds, as a tick is shorter than a second.
    Duration::new((nanos / nanos_per_second) as u64, (nanos % nanos_per_second) as u32)
}

/// One deadline per slot of one [`StackPool`]. All methods must be given the same pool.
///
/// After [`advance`](Self::advance) to a tick, every deadline at or before it has been reported, and none after it. With
/// [`tick_floor`] for the present and [`tick_ceil`] for deadlines, an expiry is never early and late by less than
/// one [`WHEEL_TICK`], whatever the number of deadlines and however far time jumps.
///
/// ```
/// use sws_stackpool::{StackPool, Wheel};
///
/// let mut pool = StackPool::<[u64; 8]>::new(16);
/// let mut wheel = Wheel::new(0);
/// let mut expired = Vec::new();
///
/// let id = pool.acquire().expect("a slot is free");
/// wheel.arm(&mut pool, id.index, 1000);
/// wheel.advance(&mut pool, 999, &mut expired);
/// assert!(expired.is_empty());
/// assert_eq!(wheel.next_expiry(999), Some(1000));
///
/// wheel.advance(&mut pool, 1000, &mut expired);
/// assert_eq!(expired, [id.index]);
/// assert_eq!(wheel.next_expiry(1000), None);
/// ```
pub struct Wheel {
    /// Every bucket that fires at or before this tick has been looked at.
    elapsed: u64,
    /// Per level, which buckets have a list.
    occupied: [u64; LEVELS],
    heads: [u32; LISTS],
}

impl Wheel {
    /// An empty wheel that stands at tick `now`.
    ///
    /// # Panics
    ///
    /// If `now` is above [`TICK_MAX`].
    pub fn new(now: u64) -> Self {
        assert!(now <= TICK_MAX, "tick {now} is out of range");
        Wheel { elapsed: now, occupied: [0; LEVELS], heads: [NONE; LISTS] }
    }

    /// Sets the deadline of a live slot, in place of the one it had. A deadline in the past is reported by the next
    /// advance; `u64::MAX` is none.
    ///
    /// # Panics
    ///
    /// If the slot is free.
    #[inline]
    pub fn arm<W>(&mut self, pool: &mut StackPool<W>, index: u32, deadline: u64) {
        let slot = pool.slot_mut(index);
        assert!(slot.state != SlotState::Free, "slot {index} is free");
        slot.deadline = deadline;
        if deadline == NEVER {
            return;
        }
        let bucket = slot.wheel_bucket;
        if bucket != NONE {
            if self.fires_at(bucket) <= deadline {
                return;
            }
            self.unlink(pool, index);
        }
        self.link(pool, index, deadline);
    }

    /// Clears the deadline of a slot. Nothing happens if it had none.
    ///
    /// The slot's place in the wheel is kept until its bucket fires, so [`next_expiry`](Self::next_expiry) may still
    /// answer that tick, once. [`StackPool::release`] does the same by itself.
    ///
    /// # Panics
    ///
    /// If no slot with this index was ever used.
    #[inline]
    pub fn disarm<W>(&mut self, pool: &mut StackPool<W>, index: u32) {
        pool.slot_mut(index).deadline = NEVER;
    }

    /// A tick, not before `now`, before which no deadline expires: how long a loop may sleep. `None` if there is nothing to
    /// wait for.
    ///
    /// It is never later than the nearest deadline, and may be earlier, at most once per level on the way: a loop
    /// with one deadline of 30 seconds wakes twice, the second time to report it.
    pub fn next_expiry(&self, now: u64) -> Option<u64> {
        if self.heads[OVERDUE as usize] != NONE {
            return Some(now);
        }
        let mut nearest = None;
        for (level, &occupied) in self.occupied.iter().enumerate() {
            if occupied == 0 {
                continue;
            }
            let shift = LEVEL_SHIFT * level as u32;
            let current = self.elapsed >> shift;
            let ahead = u64::from(occupied.rotate_right((current & AHEAD_MAX) as u32).trailing_zeros());
            let fires = (current + ahead) << shift;
            nearest = Some(nearest.map_or(fires, |tick: u64| tick.min(fires)));
        }
        nearest.map(|tick| tick.max(now))
    }

    /// Moves the wheel to tick `now` and appends the index of every slot whose deadline is at or before it to `expired`,
    /// in no particular order. Those slots have no deadline any more.
    ///
    /// The work is that of the slots whose buckets fire, however far `now` lies ahead. A `now` before that of an earlier
    /// call is taken as that one. All indices are of live slots at this moment: a caller that releases slots while it
    /// walks `expired` may meet one that it has released itself.
    ///
    /// # Panics
    ///
    /// If `now` is above [`TICK_MAX`].
    pub fn advance<W>(&mut self, pool: &mut StackPool<W>, now: u64, expired: &mut Vec<u32>) {
        assert!(now <= TICK_MAX, "tick {now} is out of range");
        let now = now.max(self.elapsed);
        let steps = now - self.elapsed;
        let fired = self.fired_until(now);
        if fired == [0; LEVELS] && self.heads[OVERDUE as usize] == NONE {
            self.elapsed = now;
        } else {
            self.fire(pool, now, fired, expired);
        }
        let looks = steps.min(AHEAD_TICKS_MAX) * AHEAD_PER_TICK;
        for level in 1..LEVELS as u32 {
            self.look_ahead(pool, level, looks);
        }
    }

    /// Looks at the slots of all `fired` buckets and at the overdue ones, as of tick `now`.
    fn fire<W>(&mut self, pool: &mut StackPool<W>, now: u64, fired: [u64; LEVELS], expired: &mut Vec<u32>) {
        // All lists are taken before the first slot is linked again: its new bucket may have the number of one that fires.
        let mut taken = [NONE; LISTS];
        let mut count = 0;
        let mut take = |head: &mut u32| {
            taken[count] = std::mem::replace(head, NONE);
            count += 1;
        };
        take(&mut self.heads[OVERDUE as usize]);
        for (level, mut bits) in fired.into_iter().enumerate() {
            self.occupied[level] &= !bits;
            while bits != 0 {
                let bucket = level << BUCKET_BITS | bits.trailing_zeros() as usize;
                take(&mut self.heads[bucket]);
                bits &= bits - 1;
            }
        }
        self.elapsed = now;
        for &head in &taken[..count] {
            self.look_at(pool, head, expired);
        }
    }

    /// Per level, the occupied buckets that fire after the present tick and not after `now`.
    fn fired_until(&self, now: u64) -> [u64; LEVELS] {
        let mut fired = [0; LEVELS];
        for (level, fired) in fired.iter_mut().enumerate() {
            let shift = LEVEL_SHIFT * level as u32;
            let current = self.elapsed >> shift;
            let steps = (now >> shift) - current;
            let mask = if steps > AHEAD_MAX { u64::MAX } else { (1 << steps) - 1 };
            *fired = self.occupied[level] & mask.rotate_left(((current + 1) & AHEAD_MAX) as u32);
        }
        fired
    }

    /// Keeps the promise of a list that has been taken off its bucket.
    fn look_at<W>(&mut self, pool: &mut StackPool<W>, head: u32, expired: &mut Vec<u32>) {
        let mut index = head;
        while index != NONE {
            let slot = pool.slot_mut(index);
            let (next, deadline) = (slot.wheel_next, slot.deadline);
            slot.wheel_bucket = NONE;
            if deadline == NEVER {
                // Disarmed or released since.
            } else if deadline <= self.elapsed {
                slot.deadline = NEVER;
                expired.push(index);
            } else {
                self.link(pool, index, deadline);
            }
            index = next;
        }
    }

    /// Moves up to `looks` slots of the bucket of `level` that fires next to buckets of lower levels, or lets them go. All
    /// of its deadlines are less than two bucket widths away, which is within reach of the level below.
    fn look_ahead<W>(&mut self, pool: &mut StackPool<W>, level: u32, looks: u64) {
        let position = (self.elapsed >> (LEVEL_SHIFT * level)) + 1;
        let bucket = level << BUCKET_BITS | (position & AHEAD_MAX) as u32;
        for _ in 0..looks {
            let index = self.heads[bucket as usize];
            if index == NONE {
                return;
            }
            self.unlink(pool, index);
            let deadline = pool.slot_mut(index).deadline;
            if deadline != NEVER {
                self.link(pool, index, deadline);
            }
        }
    }

    fn link<W>(&mut self, pool: &mut StackPool<W>, index: u32, deadline: u64) {
        let bucket = self.bucket_for(deadline);
        let head = std::mem::replace(&mut self.heads[bucket as usize], index);
        if head == NONE {
            if bucket != OVERDUE {
                self.occupied[(bucket >> BUCKET_BITS) as usize] |= 1 << (u64::from(bucket) & AHEAD_MAX);
            }
        } else {
            pool.slot_mut(head).wheel_prev = index;
        }
        let slot = pool.slot_mut(index);
        slot.wheel_bucket = bucket;
        slot.wheel_next = head;
        slot.wheel_prev = NONE;
    }

    /// Takes a slot out of its bucket, which is not the overdue list: that is only ever taken whole.
    fn unlink<W>(&mut self, pool: &mut StackPool<W>, index: u32) {
        let slot = pool.slot_mut(index);
        let (bucket, next, prev) = (slot.wheel_bucket, slot.wheel_next, slot.wheel_prev);
        slot.wheel_bucket = NONE;
        if next != NONE {
            pool.slot_mut(next).wheel_prev = prev;
        }
        if prev != NONE {
            pool.slot_mut(prev).wheel_next = next;
            return;
        }
        self.heads[bucket as usize] = next;
        if next == NONE {
            self.occupied[(bucket >> BUCKET_BITS) as usize] &= !(1 << (u64::from(bucket) & AHEAD_MAX));
        }
    }

    /// The bucket of the lowest level that reaches `deadline`; a nearer one if none does.
    fn bucket_for(&self, deadline: u64) -> u32 {
        if deadline <= self.elapsed {
            return OVERDUE;
        }
        let bits = u64::BITS - (deadline - self.elapsed).leading_zeros();
        let level = bits.saturating_sub(BUCKET_BITS).div_ceil(LEVEL_SHIFT).min(LEVELS as u32 - 1);
        let (current, position) = (self.elapsed >> (LEVEL_SHIFT * level), deadline >> (LEVEL_SHIFT * level));
        // Where buckets begin may put the deadline one bucket too far: the one before is looked at sooner, which is right.
        let ahead = (position - current).min(AHEAD_MAX);
        debug_assert!(ahead > 0, "a bucket that has fired cannot be used");
        level << BUCKET_BITS | ((current + ahead) & AHEAD_MAX) as u32
    }

    /// The first tick of an occupied bucket.
    fn fires_at(&self, bucket: u32) -> u64 {
        if bucket == OVERDUE {
            return 0;
        }
        let shift = LEVEL_SHIFT * (bucket >> BUCKET_BITS);
        let current = self.elapsed >> shift;
        let ahead = u64::from(bucket).wrapping_sub(current) & AHEAD_MAX;
        (current + ahead) << shift
    }
}

impl std::fmt::Debug for Wheel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wheel").field("elapsed", &self.elapsed).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod tests;

//! What a power cut leaves of what was not synced.

/// What of the changes that were not synced is on the disk after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// None of them.
    Nothing,
    /// All of them.
    Everything,
    /// Some of them, the same for each equal seed: of a file any sectors, each as it was at any time since the last sync; of a
    /// folder the first few changes of names.
    Random(u64),
}

/// Numbers that look random and follow from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Decides how many of a list of changes reached the disk.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    Nothing,
    Everything,
    Random {
        dice: Dice,
        /// Of a hundred sectors of the current file, how many are as the last write left them.
        current_percent: usize,
    },
}

impl Fate {
    pub(super) fn new(survival: Survival) -> Fate {
        match survival {
            Survival::Nothing => Fate::Nothing,
            Survival::Everything => Fate::Everything,
            Survival::Random(seed) => Fate::Random { dice: Dice::new(seed), current_percent: 50 },
        }
    }

    /// Begins another file. Each has a character of its own, so that a loss of one sector only and a single sector that got
    /// through come about too, however large the file is.
    pub(super) fn begin_file(&mut self) {
        if let Fate::Random { dice, current_percent } = self {
            *current_percent = [0, 3, 50, 97, 100][dice.below(5)];
        }
    }

    /// How many of `len` versions of a sector, of which each came after the one before, reached the disk.
    pub(super) fn version(&mut self, len: usize) -> usize {
        match self {
            Fate::Nothing => 0,
            Fate::Everything => len,
            Fate::Random { dice, current_percent } => {
                if dice.below(100) < *current_percent {
                    len
                } else {
                    dice.below(len)
                }
            }
        }
    }

    /// How many of `len` changes that keep their order reached the disk.
    pub(super) fn prefix(&mut self, len: usize) -> usize {
        match self {
            Fate::Nothing => 0,
            Fate::Everything => len,
            Fate::Random { dice, .. } => match dice.below(4) {
                0 => 0,
                1 => len,
                _ => dice.below(len + 1),
            },
        }
    }
}

//! The bytes of one file: as programs see them, and as they are on the disk.
//!
//! A write leaves in `pending` what each sector that it touches looks like then, whole. So a sector on the disk is always as it was
//! at some time, and one that was lost by a failed sync comes along when it is written again, as with a page cache.

use super::survival::Fate;
use std::collections::BTreeMap;

/// Bytes that are written whole or not at all.
pub(super) const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    live: Vec<u8>,
    disk: Vec<u8>,
    /// The sectors that were written since the last sync: what each looked like after each write.
    pending: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    /// The sizes that the file had since the last sync.
    pending_sizes: Vec<usize>,
}

impl Content {
    /// A file that is on the disk.
    pub(super) fn durable(bytes: Vec<u8>) -> Content {
        Content { live: bytes.clone(), disk: bytes, ..Content::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.live.len());
        let count = buffer.len().min(self.live.len() - start);
        buffer[..count].copy_from_slice(&self.live[start..start + count]);
        count
    }

    pub(super) fn write(&mut self, data: &[u8], offset: usize) {
        let Some(last) = data.len().checked_sub(1) else { return };
        let end = offset + data.len();
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        self.live[offset..end].copy_from_slice(data);
        for sector in offset / SECTOR..=(offset + last) / SECTOR {
            self.push_sector(sector);
        }
        self.push_size();
    }

    /// Writes the sectors for which `reaches` says yes.
    pub(super) fn write_torn(
        &mut self,
        mut data: &[u8],
        mut offset: usize,
        mut reaches: impl FnMut() -> bool,
    ) {
        while !data.is_empty() {
            let piece;
            (piece, data) = data.split_at(data.len().min(SECTOR - offset % SECTOR));
            if reaches() {
                self.write(piece, offset);
            }
            offset += piece.len();
        }
    }

    pub(super) fn set_len(&mut self, len: usize) {
        let before = self.live.len();
        self.live.truncate(len);
        for sector in len / SECTOR..before.max(len).div_ceil(SECTOR) {
            if sector * SECTOR < before {
                self.push_sector(sector);
            }
        }
        self.live.resize(len, 0);
        self.push_size();
    }

    pub(super) fn sync(&mut self) {
        self.disk = self.survivor(&mut Fate::Everything);
        self.forget_pending();
    }

    /// A sync that failed: what was to be synced counts as clean from here on, and only a part of it is on the disk.
    pub(super) fn lose(&mut self, fate: &mut Fate) {
        self.disk = self.survivor(fate);
        self.forget_pending();
    }

    /// What would be on the disk if the power went.
    pub(super) fn survivor(&self, fate: &mut Fate) -> Vec<u8> {
        fate.begin_file();
        let mut bytes = self.disk.clone();
        let sizes = fate.prefix(self.pending_sizes.len());
        bytes.resize(sizes.checked_sub(1).map_or(self.disk.len(), |last| self.pending_sizes[last]), 0);
        for (sector, versions) in &self.pending {
            let Some(version) = fate.version(versions.len()).checked_sub(1) else { continue };
            let start = (sector * SECTOR).min(bytes.len());
            let end = (start + SECTOR).min(bytes.len());
            bytes[start..end].copy_from_slice(&versions[version][..end - start]);
        }
        bytes
    }

    /// Reads again from the disk what is not waiting to be written there.
    pub(super) fn drop_cache(&mut self) {
        self.live = self.survivor(&mut Fate::Everything);
    }

    /// Damages a byte wherever it is.
    pub(super) fn corrupt(&mut self, offset: usize, xor: u8) {
        self.live[offset] ^= xor;
        if let Some(byte) = self.disk.get_mut(offset) {
            *byte ^= xor;
        }
        for version in self.pending.get_mut(&(offset / SECTOR)).into_iter().flatten() {
            version[offset % SECTOR] ^= xor;
        }
    }

    fn push_sector(&mut self, sector: usize) {
        let mut image = [0; SECTOR];
        let start = (sector * SECTOR).min(self.live.len());
        let end = (start + SECTOR).min(self.live.len());
        image[..end - start].copy_from_slice(&self.live[start..end]);
        self.pending.entry(sector).or_default().push(image);
    }

    fn push_size(&mut self) {
        let known = self.pending_sizes.last().copied().unwrap_or(self.disk.len());
        if known != self.live.len() {
            self.pending_sizes.push(self.live.len());
        }
    }

    fn forget_pending(&mut self) {
        self.pending.clear();
        self.pending_sizes.clear();
    }
}

//! Flooding from markers, in the order of scikit-image's `watershed`.

/// One pixel that waits to be flooded.
#[derive(Clone, Copy)]
struct Waiting {
    level: f64,
    age: u32,
    place: u32,
}

impl Waiting {
    #[inline]
    fn before(&self, other: &Self) -> bool {
        self.level < other.level || (self.level == other.level && self.age < other.age)
    }
}

/// A binary heap with the same moves as scikit-image's.
///
/// Markers share the age 0, so among markers of equal level the moves of the heap
/// decide the order; the standard library's heap would give another one.
struct Heap(Vec<Waiting>);

impl Heap {
    fn push(&mut self, item: Waiting) {
        let mut child = self.0.len();
        self.0.push(item);
        while child > 0 {
            let parent = (child - 1) / 2;
            if !self.0[child].before(&self.0[parent]) {
                break;
            }
            self.0.swap(child, parent);
            child = parent;
        }
    }

    fn pop(&mut self) -> Option<Waiting> {
        if self.0.is_empty() {
            return None;
        }
        let first = self.0.swap_remove(0);
        let items = &mut self.0[..];
        let mut place = 0;
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let mut smallest = place;
            if left < items.len() && items[left].before(&items[smallest]) {
                smallest = left;
            }
            if right < items.len() && items[right].before(&items[smallest]) {
                smallest = right;
            }
            if smallest == place {
                return Some(first);
            }
            items.swap(place, smallest);
            place = smallest;
        }
    }
}

/// Floods a mask from markers (labels > 0) over 4-neighbours, lowest levels first.
///
/// All slices have `width` values per row and equal lengths; markers outside the
/// mask are ignored, and parts of the mask without a marker stay 0. Levels must
/// be finite. Of equal levels the pixel that was reached first is flooded first;
/// neighbours are visited in the order above, left, right, below.
pub fn watershed(levels: &[f64], markers: &[u32], mask: &[bool], width: usize) -> Vec<u32> {
    let count = levels.len().min(markers.len()).min(mask.len());
    let mut labels = vec![0; markers.len()];
    let mut heap = Heap(Vec::new());
    for place in 0..count {
        if mask[place] && markers[place] > 0 {
            labels[place] = markers[place];
            heap.push(Waiting { level: levels[place], age: 0, place: place as u32 });
        }
    }
    if width == 0 {
        return labels;
    }
    let mut age = 0;
    while let Some(item) = heap.pop() {
        let place = item.place as usize;
        let column = place % width;
        let neighbours = [
            place.checked_sub(width),
            (column > 0).then(|| place - 1),
            (column + 1 < width).then(|| place + 1),
            Some(place + width),
        ];
        for neighbour in neighbours.into_iter().flatten() {
            if neighbour < count && mask[neighbour] && labels[neighbour] == 0 {
                age += 1;
                labels[neighbour] = labels[place];
                heap.push(Waiting { level: levels[neighbour], age, place: neighbour as u32 });
            }
        }
    }
    labels
}

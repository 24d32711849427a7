package decide

// Len is how much a record holds.
func (r Recommendations) Len() int { return len(r.peaks) }

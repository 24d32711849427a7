package coalesce

// Lines is how many keys somebody asks for.
func (a *Asker[K, V]) Lines() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.lines)
}

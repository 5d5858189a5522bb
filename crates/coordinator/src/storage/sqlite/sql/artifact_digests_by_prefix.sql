SELECT digest FROM artifacts WHERE digest >= ?1 AND digest < ?1 || '~' ORDER BY digest LIMIT ?2

DELETE FROM tags WHERE tag = ?1

SELECT artifacts.*,
       (SELECT json_group_array(tag) FROM (SELECT tag FROM tags WHERE tags.digest = artifacts.digest ORDER BY tag))
           AS tags
FROM artifacts
WHERE kind IN (SELECT value FROM json_each(?1)) AND (?2 IS NULL OR id < ?2)
ORDER BY id DESC
LIMIT ?3

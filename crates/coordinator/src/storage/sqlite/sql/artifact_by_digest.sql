SELECT artifacts.*,
       (SELECT json_group_array(tag) FROM (SELECT tag FROM tags WHERE tags.digest = artifacts.digest ORDER BY tag))
           AS tags
FROM artifacts
WHERE digest = ?1

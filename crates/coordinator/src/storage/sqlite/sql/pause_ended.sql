SELECT EXISTS (SELECT 1 FROM parts WHERE state = 'pending' AND not_before > ?1 AND not_before <= ?2) AS ended

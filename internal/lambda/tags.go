package lambda

import "coffer/internal/api"

func (s *Service) tagOperations() []api.Bound { return nil }
